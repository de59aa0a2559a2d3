"""Where a client connects to: `mqtt://host:1883`, `unix:///run/broker.sock`, `serial:///dev/ttyUSB0?baud=115200`.

Both runtimes. MicroPython has no urllib, and needs only this much of it.
"""

from ..core.features import SERIAL


class Url:
    """The parts of a URL: `scheme`, `host`, `port` (0: not given), `path`, `username`, `password` (or None), `query` (a
    dict). ValueError says what is wrong with it.
    """

    username: "str | None" = None
    password: "str | None" = None

    def __init__(self, text: str) -> None:
        if SERIAL and text[:10] == "serial:usb":  # a board's own USB socket has no path
            text = "serial://" + text[7:]
        self.scheme, found, rest = cut(text, "://")
        rest, _, query = cut(rest, "?")
        address, slash, path = cut(rest, "/")
        self.path = slash + path
        self.query: "dict[str, str]" = {}
        for pair in query.split("&") if query else ():
            key, _, value = cut(pair, "=")
            self.query[key] = value
        self.host, _, port = cut(address, ":")
        self.port = int(port) if port.isdigit() else 0  # 0: not given
        if not found or "@" in address or "[" in address or (port and not 0 < self.port < 65536):
            from .address import take_apart  # more than a name and a port, or less

            take_apart(self, text, address if found else None)


def cut(text: str, mark: str) -> "tuple[str, str, str]":
    """str.partition, which MicroPython's small builds lack."""
    at = text.find(mark)
    return (text, "", "") if at < 0 else (text[:at], mark, text[at + len(mark) :])
