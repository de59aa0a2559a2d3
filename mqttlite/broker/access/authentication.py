"""Who may connect, as an application decides it: by user name and password, or with MQTT 5.0 in several packets (AUTH,
4.12), also again while the connection lasts (re-authentication). admission.py asks. Imports core.

    def authenticate(who: Arriving) -> Generator[bytes, bytes, bytes]:
        if who.method == "":  # as all of 3.1.1, and most of 5.0: at once
            if not (who.username and passwords.get(who.username) == who.password):
                raise Refusal(0x86, "unknown user name or wrong password")
            return b""
        if who.method != "CHALLENGE":
            raise Refusal(0x8C, "no such method here")
        challenge = secrets.token_bytes(16)
        answer = yield challenge  # AUTH to the client, and what its AUTH brings
        if not hmac.compare_digest(answer, hmac.digest(key, challenge, "sha256")):
            raise Refusal(0x87, "wrong answer")
        return b"welcome"  # in CONNACK, or in the last AUTH

    async with Broker(authenticate=authenticate): ...

The generator runs in the broker's event loop, so it must not wait for anything but `yield`. A client that does not
answer has as long as CONNECT may take. Section and statement numbers are those of 5.0.
"""

import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from ...core.errors import MQTTError
from ...core.reason_codes import NOT_AUTHORISED, REFUSED

log = logging.getLogger("mqttlite.broker")


@dataclass(frozen=True, slots=True)
class Arriving:
    """Who wants to connect. `method`, `data`: of its authentication in several packets; "": none. `client_id`: "" where
    the broker will assign one. `again`: it is connected, and authenticates itself again. `certificate`: the client's,
    as `ssl.SSLSocket.getpeercert` has it, where the listener asks for one (tls.md) and it holds; None: there is none.
    """

    client_id: str
    username: str | None
    password: bytes | None = field(repr=False)
    method: str
    data: bytes = field(repr=False)
    address: str
    version: str
    again: bool = False
    certificate: dict[str, Any] | None = field(default=None, repr=False)


# Reason codes of CONNACK (3.2.2.2), and those of them that DISCONNECT has (3.14.2.1)
_OF_CONNACK = frozenset(bytes.fromhex("80818283848586878889 8A8C90959799 9A9B9C9D9F"))
_OF_BOTH = _OF_CONNACK - frozenset(bytes.fromhex("84858688 8A8C"))

Authenticate = Callable[[Arriving], Generator[bytes, bytes, bytes]]
"""What an application gives to `Broker` to say who may connect, as at the top of this module."""


class Refusal(MQTTError):
    """Raised by an `authenticate`: the client may not connect, or not stay. `code`: a reason code from 0x80 on that
    CONNACK has: 0x86 bad user name or password, 0x87 not authorised, 0x8C bad authentication method, 0x88 not
    available. A client of 3.1.1 gets the nearest return code, and DISCONNECT says 0x87 where it has not this. `why`:
    for the log. `told`: for the client, where it speaks 5.0 (Reason String); "": what can be said of any refusal with
    this code. ValueError: CONNACK has no such code.
    """

    def __init__(self, code: int, why: str, told: str = "") -> None:
        if code not in _OF_CONNACK:
            raise ValueError(f"Refusal: CONNACK has no reason code 0x{code:02X}; write 0x87 for not authorised")
        super().__init__(why)
        self.code = code
        self.told = told

    @property
    def last_word(self) -> int:
        """The reason code of DISCONNECT, which has not all that CONNACK has [MQTT-3.14.2-1]."""
        return self.code if self.code in _OF_BOTH else NOT_AUTHORISED


class Exchange:
    """An authentication that has begun."""

    def __init__(self, steps: Generator[bytes, bytes, bytes]) -> None:
        self._steps = steps

    def begin(self) -> tuple[bool, bytes]:
        """Whether it is over, and what is said to the client."""
        return self._go(lambda: next(self._steps))

    def go_on(self, answer: bytes) -> tuple[bool, bytes]:
        """The same, with what the client said."""
        return self._go(lambda: self._steps.send(answer))

    def _go(self, step: Callable[[], bytes]) -> tuple[bool, bytes]:
        try:
            return False, bytes(step())
        except StopIteration as over:
            return True, bytes(over.value or b"")
        except Refusal:
            raise
        except Exception as error:
            log.exception("unexpected error in authenticate")
            raise Refusal(REFUSED, "authenticate failed") from error
