"""The other addresses of a host name, on MicroPython: one at each attempt; loaded after the first has failed."""

import socket


def other(host: str, port: int, number: int) -> str:
    """Address `number` of `host`, counted round; `host` itself where MicroPython has no addresses as text (Unix)."""
    found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    address = found[number % len(found)][-1]
    return str(address[0]) if isinstance(address, tuple) else host
