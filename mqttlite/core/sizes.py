"""Sizes on which the ends agree where nobody says otherwise. Not loaded by boards, which have room for less."""

# Largest Remaining Length (2.2.3) that client, broker, `pub` and `sub` accept, in bytes: what one of ours publishes,
# the others take. A picture of a camera fits.
PACKET_MAX = 1024 * 1024
