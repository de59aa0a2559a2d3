"""Where a client connects to: `mqtt://host:1883`, `unix:///run/broker.sock`, `serial:///dev/ttyUSB0?baud=115200`.

Both runtimes. MicroPython has no urllib, and needs only this much of it.
"""

import binascii


class Url:
    """The parts of a URL: `scheme`, `host`, `port` (0: not given), `path`, `username`, `password` (or None), `query` (a
    dict).
    """

    def __init__(self, text: str) -> None:
        scheme, found, rest = _cut(text, "://")
        if not found:
            raise ValueError("not a URL: '" + text + "'; write for example mqtt://localhost:1883")
        rest, _, query = _cut(rest, "?")
        rest, slash, path = _cut(rest, "/")
        self.scheme = scheme
        self.path = slash + path
        self.query: "dict[str, str]" = {}
        for pair in query.split("&") if query else ():
            key, _, value = _cut(pair, "=")
            self.query[key] = value
        self.username: "str | None" = None
        self.password: "str | None" = None
        login, found, address = _cut_last(rest, "@")
        if found:
            user, found, password = _cut(login, ":")
            self.username = _unquote(user)
            if found:
                self.password = _unquote(password)
        if address[:1] == "[":  # IPv6
            self.host, found, port = _cut(address[1:], "]")
            if not found or port[:1] not in ("", ":"):
                raise ValueError("'" + address + "' is no IPv6 address and port, as in [::1]:1883")
            port = port[1:]
        else:
            self.host, _, port = _cut(address, ":")
        try:
            self.port = int(port) if port else 0  # 0: not given
        except ValueError as error:
            raise ValueError("'" + port + "' is not a port number in '" + text + "'") from error
        if port and not 0 < self.port < 65536:
            raise ValueError("port " + port + " in '" + text + "' is not between 1 and 65535")


def _cut(text: str, mark: str) -> "tuple[str, str, str]":
    """str.partition, which MicroPython's small builds lack."""
    at = text.find(mark)
    return (text, "", "") if at < 0 else (text[:at], mark, text[at + len(mark) :])


def _cut_last(text: str, mark: str) -> "tuple[str, str, str]":
    at = text.rfind(mark)
    return ("", "", text) if at < 0 else (text[:at], mark, text[at + len(mark) :])


def _unquote(text: str) -> str:
    pieces = text.split("%")
    data = pieces[0].encode()
    for piece in pieces[1:]:
        try:
            data += binascii.unhexlify(piece[:2] or "?") + piece[2:].encode()
        except ValueError as error:
            raise ValueError("'%" + piece[:2] + "' is not a percent-encoded byte; % itself is %25") from error
    return data.decode()
