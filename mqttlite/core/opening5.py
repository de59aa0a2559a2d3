"""How a client opens a connection in MQTT 5.0, where more is to be said than its fields: made anew for each connection.
Also AUTH at the client's end (4.12), and what its last DISCONNECT says. Both runtimes; no I/O.

Loaded by who gives a client such arguments. Statement numbers in this file are those of 5.0.
"""

from . import const
from .auth import AGAIN, CONTINUE, DATA, METHOD, decode_auth, encode_auth, properties_of
from .errors import ProtocolError
from .features import STREAM
from .packet_types import GONE_BY
from .parser import Parser
from .wire5 import encode_connect

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import ClientProtocol
    from .events import ConnectFields


class Opening:
    """Of one client. `session_expiry_s`: -1: as long as the broker keeps it, and at a clean start not at all. `block`:
    further properties of CONNECT.

    With a `method`, `data` goes into CONNECT, `on_challenge(data)` is told what the broker asks, and whoever is answers
    with `answer`; `on_success(data)` is told what it says at the end.
    """

    method = b""
    data = b""
    on_challenge: "Callable[[bytes], None]"
    on_success: "Callable[[bytes], None]"
    on_assigned: "Callable[[bytes], None] | None" = None  # is told the name that the broker has chosen
    is_again = False  # a re-authentication is under way
    receive_maximum = 0  # what is announced; 0: as much as the session takes

    def __init__(self, client: "ClientProtocol", fields: "ConnectFields", session_expiry_s: int, block: bytes) -> None:
        self._client = client
        self.fields = fields
        self.session_expiry_s = session_expiry_s
        self.block = block
        client.opening = self

    def authenticate_by(self, method: bytes) -> None:
        """From the next connection on."""
        self.method = method
        self._client.parser = AuthParser(self._client.parser.size_max)

    def packet(self) -> bytes:
        """CONNECT."""
        client = self._client
        return encode_connect(
            *self.fields,
            receive_maximum=self.receive_maximum or client.session.inbound_max,
            size_max=client.announced_max(client.parser.size_max) if STREAM else client.parser.size_max,
            session_expiry_s=self.session_expiry_s,
            properties=self.block + (properties_of(self.method, self.data) if self.method else b""),
        )

    def wait_longer(self) -> None:
        """See ClientOpening."""
        fields = self.fields
        self.fields = fields[:2] + (min(4 * fields[2], 65535),) + fields[3:]

    def accepted(self, found: "dict[int, int | bytes]", assigned: bytes) -> None:
        """CONNACK was."""
        fields = self.fields
        if assigned:
            if fields[0]:
                raise ProtocolError("MQTT-3.2.2-16", "the broker assigned a client identifier, and we have one")
            fields = (assigned,) + fields[1:]
            if self.on_assigned:
                self.on_assigned(assigned)
        if fields[1] and self.session_expiry_s > 0:  # a clean start is one start
            fields = fields[:1] + (False,) + fields[2:]
            self._client.clean_session = False
        self.fields = fields
        if self.method:
            if found.get(METHOD) != self.method:
                raise ProtocolError("4.12", "CONNACK with another authentication method, or none")
            data = found.get(DATA, b"")
            assert isinstance(data, bytes)
            self.on_success(data)

    def take(self, buf: bytes, start: int, end: int) -> None:
        """AUTH came."""
        reason, method, data = decode_auth(buf, start, end)
        if method != self.method:
            raise ProtocolError("MQTT-4.12.0-5", "AUTH with another authentication method than CONNECT")
        if self._client.is_connected and not self.is_again:
            raise ProtocolError("4.12.1", "AUTH, and nobody wanted to authenticate again")
        if reason == CONTINUE:
            self.on_challenge(data)
        elif reason == AGAIN or not self._client.is_connected:
            raise ProtocolError("MQTT-3.15.2-1", "reason code %d in AUTH" % reason)
        else:
            self.is_again = False
            self.on_success(data)

    def answer(self, data: bytes) -> None:
        """What the client says to a challenge [MQTT-4.12.0-3]."""
        self._client.out.append(encode_auth(CONTINUE, self.method, data))

    def again(self, data: bytes) -> None:
        """Begin to authenticate again while connected [MQTT-4.12.1-1]."""
        self.is_again = True
        self._client.out.append(encode_auth(AGAIN, self.method, data))


class AuthParser(Parser):
    """A parser that takes AUTH, whose first byte is that of a message that was read past (oversize.py): what is there
    then tells them apart.
    """

    def _check_first(self, first: int) -> None:
        if first != GONE_BY:
            Parser._check_first(self, first)
