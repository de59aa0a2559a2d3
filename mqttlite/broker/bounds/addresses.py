"""What counts as one address. Imports nothing.

An IPv6 host has at least 2 ** 64 addresses to choose from (RFC 6177), so its first 64 bits are what counts; of IPv4,
all of it, also where it comes mapped into IPv6. Programs on this machine have laxer rules: there, one address is many
programs, none of which is a stranger from the network. (A proxy on this machine makes its clients look like that.)
"""

import ipaddress
from functools import lru_cache

UNIX = "unix"  # the key of all Unix sockets
INSIDE = "inside"  # the address of connections that a program in this process has (inside.py), and their key


@lru_cache(maxsize=1024)
def _key_of(host: str) -> str:
    try:
        address = ipaddress.ip_address(host.partition("%")[0].strip("[]"))
    except ValueError:
        return host
    if address.version == 6:
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        if not address.is_loopback:
            return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)


def key_of(address: str) -> str:
    """What `address` (HOST:PORT, or "Unix socket ...") has in common with others of the same peer."""
    return UNIX if address.startswith("Unix socket") else _key_of(address.rpartition(":")[0] or address)


@lru_cache(maxsize=1024)
def is_local(key: str) -> bool:
    """Whether only programs on this machine have this key."""
    if key in (UNIX, INSIDE):
        return True
    try:
        return ipaddress.ip_address(key).is_loopback
    except ValueError:
        return False
