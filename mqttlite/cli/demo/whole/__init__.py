"""`mqttlite demo --whole`: boards, noisy lines, a gateway with its broker, ledger and page, a second broker that is cut
off for a while, an inbox behind it; all of them killed at random; and `mqttlite verify`, which says what came of it.

run       the play, from the start to a loss that is planted     schedule  who is killed when, from a seed
site      the programs, each of which can be killed              settings  what they are told
far_end   the program at the far end: an inbox                   planted   a message that disappears
board/    the application of the boards
"""
