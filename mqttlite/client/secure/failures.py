"""Why TLS or a WebSocket did not come about, and what to do: the rest of a sentence that begins with the address.
CPython; loaded when it has happened.
"""

import asyncio
import contextlib
import ssl
from http import HTTPStatus
from typing import Any

from ...core.errors import MQTTError
from ...core.shown import shown
from ..connecting.dialing import open_streams
from ..connecting.recognise import PROBE_S, recognise
from ..connecting.unreachable import port_of
from ..url import Url
from .tls_options import TlsOptions, with_colons

READ_SIZE = 32768  # bytes of a handshake that are waited for
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL
_EXPIRED, _NOT_YET, _HOST_NAME = 10, 9, (62, 64)  # X509_V_ERR_…
_UNTRUSTED = {
    18: "signed by itself",
    19: "signed, in the end, by a CA that is not known here",
    20: "signed by a CA that is not known here",
    21: "signed by a CA that is not known here",
}


async def of_tls(error: Exception, url: Url, options: TlsOptions, first: bytes) -> str:
    """Words for a handshake that ended with `error`; `first` came first from the peer."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return await _of_certificate(error, url, options)
    plain = "ws" if url.scheme == "wss" else "mqtt"
    if first and first[:1] not in (b"\x15", b"\x16"):
        known = recognise(first)
        if "HTTP" in known:
            return "speaks HTTP without TLS: MQTT over WebSockets is ws:// then (443 is the usual port of wss://)"
        return known or f"does not speak TLS: use {plain}:// for this port, or the broker's port for TLS"
    words = of_reason(error)
    if words:
        return words
    if isinstance(error, ssl.SSLError):
        return f"and this client do not agree on TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
    if not first:
        return (
            f"closes the connection at the beginning of TLS: is this its port for TLS? Without TLS it is {plain}://; "
            "the broker's log may say more"
        )
    return f"closes the connection during the handshake of TLS ({error}): its log may say why"


def of_reason(error: Exception) -> str:
    """Words for OpenSSL's name of what went wrong; "" when it has none, or nobody has better ones."""
    reason = getattr(error, "reason", None) or ""
    if "CERTIFICATE_REQUIRED" in reason:
        return "wants a certificate of the client: give it with certificate= and key_file="
    if "ALERT_UNKNOWN_CA" in reason:
        return "does not accept the certificate of this client: it does not know the CA that has signed it"
    if "ALERT_CERTIFICATE_EXPIRED" in reason:
        return "does not accept the certificate of this client: it has expired"
    if "ALERT_BAD_CERTIFICATE" in reason or "ALERT_CERTIFICATE" in reason or "UNSUPPORTED_CERTIFICATE" in reason:
        return "does not accept the certificate of this client; its log may say why"
    if "HANDSHAKE_FAILURE" in reason:
        return (
            "refuses the handshake of TLS: it may want a certificate of the client (certificate=, key_file=), another "
            "server name, or has no cipher in common with this client"
        )
    if "PROTOCOL_VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason or "WRONG_SSL_VERSION" in reason:
        return "speaks only versions of TLS before 1.2, which are not safe: renew it, or give tls= a context that may"
    if "NO_APPLICATION_PROTOCOL" in reason:
        return "takes none of the protocols of alpn="
    if "UNRECOGNIZED_NAME" in reason:
        return "does not know the host name that it is asked for: give the right one with server_name="
    return ""


async def _of_certificate(error: ssl.SSLCertVerificationError, url: Url, options: TlsOptions) -> str:
    code = error.verify_code
    name = options.server_name or url.host or "localhost"
    if code in _HOST_NAME:
        found = await _look(url, _reading(options, check_time=True))
        names = _names(found)
        theirs = f"it is for {names}" if names else "it names others"
        return (
            f"shows a certificate that is not for '{name}': {theirs}. Use that name in the URL, or say "
            "server_name= if you know that it is the right broker"
        )
    if code in (_EXPIRED, _NOT_YET):
        found = await _look(url, _reading(options, check_time=False))
        when = found.get("notAfter" if code == _EXPIRED else "notBefore", "")
        if code == _EXPIRED:
            return (
                f"shows a certificate that has expired{_on(when)}; the broker needs a new one. Is the clock here right?"
            )
        return f"shows a certificate that is not valid yet{_on(when, 'before')}: is the clock here right?"
    seen = await _seen(url)
    pinned = f"; if it is the right one, fingerprint='{seen}' pins it" if seen else ""
    if code in _UNTRUSTED:
        if options.ca is None:
            what = "it" if code == 18 else "that CA"
            return f"shows a certificate that is {_UNTRUSTED[code]}: give {what} with ca={pinned}"
        return f"shows a certificate that is not signed by the CA of ca= (it is {_UNTRUSTED[code]}){pinned}"
    return f"shows a certificate that does not hold: {error.verify_message}{pinned}"


def _on(when: object, before: str = "on") -> str:
    return f" {before} {when}" if when else ""


def _reading(options: TlsOptions, check_time: bool) -> ssl.SSLContext | None:
    """A context that trusts as the client's does, and passes over the one thing that was wrong."""
    if options.tls is not None:
        return None
    context = options.context("mqtts", "")
    context.check_hostname = False
    if not check_time:
        context.verify_flags |= _NO_CHECK_TIME
    return context


async def _look(url: Url, context: ssl.SSLContext | None) -> dict[str, Any]:
    """What a certificate says that was found wanting: asked for once more, on a connection of its own."""
    if context is None:
        return {}
    tls = await _handshake(url, context)
    return dict(tls.getpeercert() or {}) if tls else {}


async def _seen(url: Url) -> str:
    """The fingerprint of the certificate that is shown there."""
    from ...net.tls import fingerprint

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent
    tls = await _handshake(url, context)
    return with_colons(fingerprint(tls)) if tls else ""


async def _handshake(url: Url, context: ssl.SSLContext) -> ssl.SSLObject | None:
    """TLS with the peer until it has shown its certificate; nothing else is sent."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=url.host or "localhost")
    with contextlib.suppress(OSError, MQTTError):  # TimeoutError and SSLError are OSErrors
        async with asyncio.timeout(PROBE_S):
            reader, writer = await open_streams(url.host or "localhost", port_of(url), READ_SIZE)
            try:
                while True:
                    try:
                        tls.do_handshake()
                        return tls
                    except ssl.SSLWantReadError:
                        writer.write(outgoing.read())
                    data = await reader.read(4096)
                    if not data:
                        return None
                    incoming.write(data)
            finally:
                writer.transport.abort()
    return None


def _names(found: dict[str, Any]) -> str:
    return ", ".join(str(value) for _, value in found.get("subjectAltName", ()))


def of_upgrade(error: Exception, url: Url, target: str, first: bytes) -> str:
    """Words for a WebSocket that was asked for and did not come about."""
    status = getattr(error, "status", 0)
    if status:
        return _of_status(error, status, target)
    tls = "s" if url.scheme == "wss" else ""
    if first and not first.startswith(b"HTTP/"):
        known = recognise(first)
        if first[:1] in (b"\x15", b"\x16"):
            return "speaks TLS: use wss:// for this port"
        return known or f"does not speak HTTP, with which a WebSocket begins: use mqtt{tls}:// for MQTT's own port"
    if not first:
        return (
            "closes the connection when it is asked for a WebSocket: is this its port for WebSockets? MQTT's own port "
            f"is reached with mqtt{tls}://"
        )
    return f"does not make a WebSocket of it: {error}"


def _of_status(error: Any, status: int, target: str) -> str:
    try:
        phrase = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        phrase = str(status)
    said = error.body.decode("utf-8", "replace").strip()
    said = f"; it says: '{shown(said.splitlines()[0], 120)}'" if said and "<" not in said else ""
    if error.location:
        return f"sends a WebSocket at {target} elsewhere ({phrase}), to {shown(error.location, 200)}: use that address"
    if status == 404:
        return (
            f"has no WebSocket at the path {target} ({phrase}): give the right one in the URL, as in /mqtt or /ws{said}"
        )
    if status in (401, 403):
        return f"refuses the WebSocket at {target} ({phrase}){said or ': it wants to know who asks, or from where'}"
    if status in (301, 302, 303, 307, 308):
        return f"sends a WebSocket at {target} elsewhere ({phrase}), and does not say where"
    if b"https port" in error.body.lower() or b"https server" in error.body.lower():
        return "speaks TLS: use wss:// for this port"
    if status in (200, 426):
        return f"is a web server, and makes no WebSocket at {target} ({phrase}): are port and path right?{said}"
    if status in (502, 503, 504):
        return f"is a proxy whose broker does not answer ({phrase}){said}"
    return f"refuses the WebSocket at {target} ({phrase}){said or ': are port and path right?'}"
