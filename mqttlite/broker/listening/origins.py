"""Whom a listener for WebSockets takes: the right path, and not every page that somebody has open in a browser.

A browser lets any page open a WebSocket to any address that it can reach, a broker in the user's own network among
them, and says in the header Origin whose page it is. Programs that are no browsers send none, and are taken. So are
pages from the broker's own host name. Without TLS such a name must be one that nobody in the Internet can have (an
address, localhost, NAME.local …): else a page of evil.example could have its name point here, and be taken for ours.
Other pages are taken when their origin stands in `origins`; "*" takes all.
"""

import ipaddress
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlsplit

from wsproto.events import Request

from ...core.shown import shown
from ...net.websocket import Refusal

PATHS = ("/mqtt", "/")  # of a listener whose URL has none
# RFC 6761, 6762, 8375, and ICANN's for private use
_PRIVATE = ("localhost", "local", "internal", "lan", "home", "home.arpa", "localdomain")


class Judge:
    """Says what is wrong with a request, or None."""

    def __init__(self, url: str, origins: Sequence[str]) -> None:
        parts = urlsplit(url)
        self._is_secure = parts.scheme == "wss"
        self._paths = (parts.path,) if parts.path not in ("", "/") else PATHS
        self._origins = {origin.rstrip("/").lower() for origin in origins}

    def __call__(self, request: Request) -> Refusal | None:
        path = request.target.partition("?")[0]
        if path not in self._paths:
            return Refusal(HTTPStatus.NOT_FOUND, f"There is nothing here. MQTT over WebSockets is at {self._paths[0]}.")
        headers = dict(request.extra_headers)
        origin = headers.get(b"origin")
        if origin is None or self._may(origin.decode("latin-1").lower(), request.host):
            return None
        who = shown(origin.decode("latin-1"), 200)
        return Refusal(
            HTTPStatus.FORBIDDEN,
            f"This broker does not take WebSockets from pages of {who}. Who runs it may allow it: --origin '{who}'.",
        )

    def _may(self, origin: str, host: str) -> bool:
        if "*" in self._origins or origin in self._origins:
            return True
        try:
            theirs, ours = urlsplit(origin).hostname, urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        return bool(theirs) and theirs == ours and (self._is_secure or _is_private(str(theirs)))


def _is_private(name: str) -> bool:
    """Whether nobody else in the Internet can own this name."""
    name = name.rstrip(".")
    if "." not in name and ":" not in name:
        return True
    if any(name.endswith("." + ending) for ending in _PRIVATE):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
