"""The rarer parts of a URL's address: `user:password@`, `[::1]`, a port. Loaded when there is one. Both runtimes."""

import binascii

from ..core import const
from .url import cut

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .url import Url


def take_apart(url: "Url", text: str, address: "str | None") -> None:
    """Give `url` the parts of its `address` (None: there is none, and what it was made from is no URL)."""
    if address is None:
        raise ValueError("not a URL: '" + text[text.rfind("@") + 1 :] + "'; write for example mqtt://localhost:1883")
    at = address.rfind("@")
    if at >= 0:
        user, found, password = cut(address[:at], ":")
        url.username = _unquote(user)
        if found:
            url.password = _unquote(password)
        address = address[at + 1 :]
    if address[:1] == "[":  # IPv6
        url.host, found, port = cut(address[1:], "]")
        if not found or port[:1] not in ("", ":"):
            raise ValueError("'" + address + "' is no IPv6 address and port, as in [::1]:1883")
        port = port[1:]
    else:
        url.host, _, port = cut(address, ":")
    if port:
        try:
            url.port = int(port)
        except ValueError:
            url.port = 0
        if not 0 < url.port < 65536:  # nothing is shown: it may be a password whose host was forgotten
            raise ValueError("the port is not a number from 1 to 65535")


def _unquote(text: str) -> str:
    pieces = text.split("%")
    data = pieces[0].encode()
    for piece in pieces[1:]:
        try:
            data += binascii.unhexlify(piece[:2] or "?") + piece[2:].encode()
        except ValueError:
            raise ValueError("a % in a user name or password is not percent-encoded: % itself is %25") from None
    return data.decode()
