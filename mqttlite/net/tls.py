"""TLS as a layer, by Python's ssl module (OpenSSL), which needs no sockets: bytes in, bytes out.

Not asyncio's own: that tells its protocol of a connection only when the handshake is over, so a broker could neither
count nor end those that never finish one, and it cannot end one direction alone, which is what keeps the last
acknowledgements of a connection that is closed.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterator
from typing import Any

from .layer import Layer

RECORD = 16384  # bytes of one record at the most (RFC 8446, 5.1)

Data = bytes | bytearray | memoryview


class TlsLayer(Layer):
    """TLS between `above` and the transport below: a server's end, or a client's with `server_name` (None: none is sent
    or checked). `check(tls)` may look at the peer when the handshake is over, and raise.
    """

    def __init__(
        self,
        above: asyncio.BaseProtocol,
        context: ssl.SSLContext,
        *,
        is_server: bool = False,
        server_name: str | None = None,
        check: "Callable[[ssl.SSLObject], None] | None" = None,
    ) -> None:
        super().__init__(above)
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._check = check
        self._is_server = is_server
        self._waiting = b""  # written before the handshake was over
        self._said_end = False
        self.tls = context.wrap_bio(self._in, self._out, server_side=is_server, server_hostname=server_name)

    def opened(self) -> None:
        if not self._is_server:
            list(self.pieces(b""))

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if data:
            self._in.write(data)
        try:
            if not self.established.done():
                self.tls.do_handshake()
                if self._check:
                    self._check(self.tls)
                self._send()  # before anything that the protocol above writes now
                self.ready()
                if self._waiting:
                    waiting, self._waiting = self._waiting, b""
                    self.write(waiting)
            while True:
                piece = self.tls.read(RECORD)
                if not piece:
                    self.has_ended()
                    return
                yield piece
        except ssl.SSLWantReadError:
            return
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self.has_ended()
        finally:
            self._send()

    def _send(self) -> None:
        if self._out.pending and not self.below.is_closing():
            self.below.write(self._out.read())

    def write(self, data: Data) -> None:
        if not self.established.done():
            self._waiting += data
            return
        if self._said_end or self.below.is_closing():
            return
        view = memoryview(data)
        try:
            while view:
                view = view[self.tls.write(view) :]
        except ssl.SSLError as error:
            self.fail(error)
        self._send()

    def _say_end(self) -> None:
        """close_notify: nothing more is written."""
        if self._said_end or not self.established.done() or self.below.is_closing():
            return
        self._said_end = True
        with contextlib.suppress(ssl.SSLError):  # the peer has not said it yet, or never will
            self.tls.unwrap()
        self._send()

    def write_eof(self) -> None:
        self._say_end()
        self.below.write_eof()

    def close(self) -> None:
        self._say_end()
        self.below.close()

    def get_write_buffer_size(self) -> int:
        return len(self._waiting) + self.below.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self.tls
        return super().get_extra_info(name, default)


def fingerprint(tls: ssl.SSLObject) -> str:
    """SHA-256 of the peer's certificate, in hexadecimal; "" when it has sent none."""
    import hashlib

    der = tls.getpeercert(binary_form=True)
    return hashlib.sha256(der).hexdigest() if der else ""
