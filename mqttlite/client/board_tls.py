"""mqtts:// on MicroPython, by its own TLS (mbedTLS on most ports). Loaded by a client with such a URL.

Whom the client trusts is said by the application, with `tls=`: a certificate as bytes (DER), the CA's or, pinned, the
broker's own; or an `ssl.SSLContext`. Without it the connection is refused: a board has no list of CAs. The handshake is
made by the first write.
"""

from ..core import const
from ..core.errors import ConnectError, SettingError

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    import ssl
    from typing import Any
else:
    try:
        import tls as ssl  # what `ssl` is made of since MicroPython 1.24
    except ImportError:
        import ssl

PORT = const(8883)  # registered for MQTT with TLS
AT_ONCE = const(256)  # bytes that are asked for, as without TLS

# By mbedTLS's number, of which the lower seven bits may be those of another layer.
_WORDS = {
    0x2700: "the broker's certificate does not hold; is the clock set?",
    0x2880: "there is no memory left for a certificate",
    0x7100: "what comes back is no TLS; is this the broker's port for TLS?",
    0x7200: "what comes back is no TLS; is this the broker's port for TLS?",
    0x7280: "the broker has ended the connection; if it always does, is this its port for TLS?",
    0x7780: "the broker has refused the handshake; its log says why",
    0x7F00: "there is no memory left for TLS",
}


class TlsTransport:
    """A stream with TLS between it and its socket. SettingError when it is not said whom to trust."""

    def __init__(self, stream: "Any", trusted: "Any", server_name: str) -> None:
        if trusted is None:
            raise SettingError("mqtts:// needs tls=: the certificate of the broker or of its CA, as bytes (DER)")
        context = trusted
        if isinstance(trusted, (bytes, bytearray)):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.verify_mode = ssl.CERT_REQUIRED
            try:
                context.load_verify_locations(trusted)  # type: ignore[arg-type]  # as DER
            except (OSError, ValueError):
                raise SettingError("tls= holds no certificate in DER") from None
        try:
            sock = context.wrap_socket(stream.s, server_hostname=server_name, do_handshake_on_connect=False)
        except OSError as error:  # of mbedTLS's random numbers, even
            raise ConnectError("TLS does not begin, probably for lack of memory: it takes 30 kB (%s)" % error) from None
        sock.setblocking(False)
        stream.s = sock  # which closes the one below, too
        self._stream = stream

    async def read(self) -> bytes:
        """See Transport."""
        try:
            return await self._stream.read(AT_ONCE)  # type: ignore[no-any-return]
        except (OSError, ValueError) as error:
            raise explained(error) from None

    async def write(self, data: "bytes | memoryview") -> None:
        """See Transport."""
        stream = self._stream
        try:
            stream.write(data)
            if stream.out_buf:
                await stream.drain()
        except (OSError, ValueError) as error:
            raise explained(error) from None

    def close(self) -> None:
        """Close at once."""
        self._stream.s.close()


def explained(error: Exception) -> Exception:
    """An error of mbedTLS in words: ValueError is what it has against a certificate. Others stay as they are."""
    if isinstance(error, OSError):
        number = -(error.errno or 0)
        if number < 0x1000:
            return error
        text = _WORDS.get(number) or _WORDS.get(number & 0xFF80, "TLS failed")
        return ConnectError("%s (mbedTLS -0x%s)" % (text, "%x" % number))
    return ConnectError(
        "the broker's certificate does not hold: %s (tls= has to be its CA or itself, server_name= its name)"
        % str(error).strip()
    )
