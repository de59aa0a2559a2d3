"""What every request passes before anything answers it, and what every answer carries: for which host it asks, whether
it comes from a page of ours, and what a browser may do with what it gets.

Nothing in the page is of foreign origin, and no script stands in a page: the content security policy allows neither,
and with trusted types a script cannot even make elements out of text.
"""

import asyncio
import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from . import crowd
from .people import People, Visitor, is_proxied, is_same

COOKIE = "mqttlite-page"
CSRF_HEADER = "X-CSRF-Token"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

# May be asked for by whoever has not logged in: the form for that, and what it consists of
OPEN = ("/login", "/api/login", "/healthz", "/metrics")
OPEN_FOLDER = "/static/"

BODY_S = 10.0  # for all that is sent with a request

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def own_names(more: Iterable[str]) -> frozenset[str]:
    """Names by which browsers may ask for this machine, in lower case. An address is always right: a name that is made
    to lead here by somebody else (DNS rebinding) is not.
    """
    host = socket.gethostname().lower()
    short = host.partition(".")[0]
    return frozenset({"localhost", host, short, f"{short}.local", *(name.lower().rstrip(".") for name in more)})


def host_of(request: web.Request) -> str:
    """The host that a request asks for, without its port."""
    return (urlsplit("//" + request.headers.get("Host", "")).hostname or "").rstrip(".")


def address_of(request: web.Request) -> str:
    """Where it comes from, as the broker writes addresses: HOST:PORT."""
    return crowd.address_of(request.transport)


def _add_headers(response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"


class Door:
    """`middleware` is the application's. `now_ms`: a clock. `names`: as own_names has them."""

    def __init__(self, people: People, names: frozenset[str], is_secure: bool, now_ms: Callable[[], int]) -> None:
        self.people = people
        self.is_secure = is_secure
        self._names = names
        self._now_ms = now_ms

    def visitor(self, request: web.Request) -> Visitor | None:
        """Who it is; None: they have to log in."""
        token, address = request.cookies.get(COOKIE, ""), address_of(request)
        return self.people.who(token, address, is_proxied(request.headers), self._now_ms())

    def may_stay(self, request: web.Request) -> bool:
        """Whether whoever has opened a stream may still be here."""
        return self.visitor(request) is not None

    def make_middleware(self) -> Any:
        """For web.Application."""

        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                response = self._refusal(request)
                if response is None:  # in aiohttp 3.8 an answer without anything stored in it is false
                    response = await handler(request)
            except web.HTTPException as error:
                _add_headers(error)
                raise
            if not response.prepared:
                _add_headers(response)
            return response

        return middleware

    def _refusal(self, request: web.Request) -> web.StreamResponse | None:
        try:
            host = host_of(request)
        except ValueError:
            host = ""
        if not self._is_own(host):
            return web.Response(
                status=421,
                text=f"This gateway does not answer for the name {host[:80]!a}. Use its address, or write "
                f'names = ["..."] below [page] in its file.\n',
            )
        if request.method not in ("GET", "HEAD", "POST"):
            return web.Response(status=405, text="GET, HEAD and POST alone\n")
        if request.method == "POST" and (why := self._foreign(request)):
            return refused(403, why)
        if request.path in OPEN or request.path.startswith(OPEN_FOLDER):
            return None
        visitor = self.visitor(request)
        if visitor is None:
            if request.path == "/":
                return web.Response(status=303, headers={"Location": "/login"})
            return refused(401, "log in first")
        if request.method == "POST":
            if not is_same(request.headers.get(CSRF_HEADER, ""), visitor.csrf):
                return refused(403, "this page is an old one: load it again")
            if not visitor.may_act and request.path not in ("/api/logout", "/api/tail"):
                return refused(403, "you may look at everything and change nothing: that is for the admins")
        return None

    def _is_own(self, host: str) -> bool:
        if host in self._names:
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True

    def _foreign(self, request: web.Request) -> str:
        """Why a request that wants something changed does not come from a page of ours; "": it does."""
        if request.content_type != "application/json":
            return "what is sent has to be application/json"
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return "it comes from another page"
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2].lower() != request.headers.get("Host", "").lower():
            return "it comes from another page"
        return ""


async def read_json(request: web.Request) -> Any:
    """What was sent with it. TimeoutError: it does not come; ValueError: it is no JSON."""
    try:
        async with asyncio.timeout(BODY_S):
            return json.loads(await request.text())
    except (RecursionError, LookupError, ConnectionError):  # too many levels; no such charset; who sent it is gone
        raise ValueError("no JSON") from None


def refused(status: int, why: str, headers: dict[str, str] | None = None) -> web.Response:
    """An answer that says no, and why."""
    return web.json_response({"error": why}, status=status, headers=headers)
