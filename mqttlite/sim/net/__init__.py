"""Streams (TCP) that deliver in pieces, stall, end and break: network.py, streams.py; asyncio's transports
(transports.py) and sockets (sockets.py) on them; the packets that they carry, as places for faults (packets.py).
"""
