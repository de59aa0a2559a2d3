"""What the broker listens on, beyond an address: TLS, and who may open WebSockets.

`Listener` is what an operator says; a `Door` stands at each of its sockets and makes a connection of what comes in. The
certificate is read when the broker starts and when it is told to (`Door.prepare`, then `Door.take`): connections that
are there keep theirs, new ones get the new one.
"""

import asyncio
import contextlib
import hashlib
import pathlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, fields
from os import PathLike

from ...net.pem import load_ca, load_certificate, protocols
from ..access.secret_files import refuse_public
from .listen import ListenError

TLS_SCHEMES = ("mqtts", "wss")
WEB_SCHEMES = ("ws", "wss")
CLIENT_CERTIFICATES = ("required", "optional")

Path = str | PathLike[str]


@dataclass(frozen=True)
class Tls:
    """
    certificate           file with the broker's certificate (PEM), behind it those of its chain
    key_file              file with its key; "": it is in `certificate`
    key_password          of the key, where it is encrypted
    client_ca             CAs whose certificates clients may show: a file (PEM or DER) or a folder; "": none is asked
    client_certificates   "required": who shows none is refused; "optional": who shows a wrong one
    alpn                  protocols of ALPN that are answered; a client that offers none of them is taken all the same
    """

    certificate: Path
    key_file: Path = ""
    key_password: str | bytes | None = None
    client_ca: Path = ""
    client_certificates: str = "required"
    alpn: Sequence[str] = ("mqtt",)

    def __post_init__(self) -> None:
        """TypeError or ValueError for what cannot be."""
        for name in ("certificate", "key_file", "client_ca"):
            if not isinstance(getattr(self, name), (str, PathLike)):
                raise TypeError(f"{name} must be the path of a file, not {getattr(self, name)!r:.60}")
        if not self.certificate:
            raise ValueError("certificate is missing: the path of a PEM file")
        if self.client_certificates not in CLIENT_CERTIFICATES:
            raise ValueError(f"client_certificates must be {' or '.join(CLIENT_CERTIFICATES)}")
        if isinstance(self.alpn, str):
            raise TypeError(f"alpn must be a list of names, as ['mqtt'], not {self.alpn!r:.60}")
        protocols(self.alpn)

    def content(self) -> bytes:
        """A digest of its files: another one where one of them is."""
        found = hashlib.sha256()
        for file in (self.certificate, self.key_file, self.client_ca):
            with contextlib.suppress(OSError):  # a folder, or it is not there: whoever reads it says so
                found.update(pathlib.Path(file).read_bytes())
        return found.digest()

    def context(self, is_web: bool) -> ssl.SSLContext:
        """A context for a server. ValueError names the file that is not as it should be."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        key = pathlib.Path(self.key_file or self.certificate)
        if self.key_password is None and key.is_file() and b"PRIVATE KEY-----" in key.read_bytes():
            refuse_public(key, "the key of the certificate")
        load_certificate(context, self.certificate, self.key_file or None, self.key_password)
        if self.client_ca:
            load_ca(context, self.client_ca)
            is_required = self.client_certificates == "required"
            context.verify_mode = ssl.CERT_REQUIRED if is_required else ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"] if is_web else protocols(self.alpn))
        return context


TLS_NAMES = tuple(each.name for each in fields(Tls))


@dataclass(frozen=True)
class Listener:
    """An address to listen on: `url`, mqtt://HOST:PORT, mqtts:// (needs `tls`), ws:// and wss:// with a path behind it,
    or unix:///PATH. `origins`: from pages of these, browsers may open WebSockets (origins.py).
    """

    url: str
    tls: Tls | None = None
    origins: Sequence[str] = ()

    @property
    def scheme(self) -> str:
        """The one of its URL."""
        return self.url.partition("://")[0]

    def check(self) -> None:
        """ListenError for what does not go together."""
        if self.scheme in TLS_SCHEMES and self.tls is None:
            raise ListenError(
                f"cannot listen on {self.url}: TLS needs a certificate; give it with --cert and --key, or in the file "
                "as certificate and key_file below [tls]"
            )


class Door:
    """Makes connections of what comes in at the sockets of a listener."""

    def __init__(self, listener: Listener) -> None:
        """ListenError when it cannot be one."""
        listener.check()
        self.listener = listener
        self.content = b""  # of the files that were read last
        self._context: ssl.SSLContext | None = None
        self._is_web = listener.scheme in WEB_SCHEMES
        if self._is_web:
            try:
                from ...net import websocket
            except ImportError as error:
                raise ListenError(f"cannot listen on {listener.url}: {error}") from None
            from .origins import Judge

            self._websocket = websocket
            self._judge = Judge(listener.url, listener.origins)
        try:
            self.take(self.prepare())
        except ValueError as error:
            raise ListenError(f"cannot listen on {listener.url}: {error}") from None

    @property
    def is_plain(self) -> bool:
        """Whether nothing stands between its sockets and MQTT."""
        return not self._is_web and self._context is None

    @property
    def asks_for_certificates(self) -> bool:
        """Whether nobody gets in without one."""
        tls = self.listener.tls
        is_asking = tls is not None and bool(tls.client_ca) and tls.client_certificates == "required"
        return is_asking and self.listener.scheme in TLS_SCHEMES

    def prepare(self) -> ssl.SSLContext | None:
        """The certificate and what belongs to it, read again; None without TLS. ValueError says what is wrong."""
        listener = self.listener
        if listener.tls is None or listener.scheme not in TLS_SCHEMES:
            return None
        self.content = listener.tls.content()
        return listener.tls.context(self._is_web)

    def take(self, context: ssl.SSLContext | None) -> None:
        """New connections get this."""
        self._context = context

    def protocol(self, connection: asyncio.BaseProtocol) -> asyncio.BaseProtocol:
        """What stands between a socket and `connection`; it itself where nothing has to."""
        if self._is_web:
            connection = self._websocket.WebSocketServerLayer(connection, self._judge)
        if self._context:
            from ...net.tls import TlsLayer

            connection = TlsLayer(connection, self._context, is_server=True)
        return connection
