"""Authentication in several packets (5.0: AUTH, 4.12), as a client does it. CPython only.

    def answers() -> Generator[bytes, bytes, None]:
        challenge = yield b"kitchen"  # goes with CONNECT, and what the broker asks
        last = yield hmac.digest(key, challenge, "sha256")  # goes with AUTH, and what it says with CONNACK
        if last != b"welcome":
            raise ValueError("this is not the broker that I know")

    Client(url, version="5.0", authentication=Authentication("CHALLENGE", answers))

The generator begins anew with each connection, and with each `await client.authenticate()`. It runs in the event loop,
so it must not wait for anything but `yield`.
"""

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, NamedTuple

from ..core.errors import ConnectError

if TYPE_CHECKING:
    from ..core.opening5 import Opening
    from .life import Life

DATA_MAX = 65535  # bytes of an answer


class Authentication(NamedTuple):
    """How a client says who it is: the name of a method, and what makes a generator of its answers."""

    method: str
    answers: "Callable[[], Generator[bytes, bytes, None]]"


class Exchange:
    """One client's, one after the other. `begin` before each CONNECT."""

    _steps: "Generator[bytes, bytes, None] | None" = None

    def __init__(self, authentication: Authentication, opening: "Opening", life: "Life") -> None:
        self._authentication = authentication
        self._opening = opening
        self._life = life
        opening.authenticate_by(authentication.method.encode())
        opening.on_challenge = self._challenged
        opening.on_success = self._succeeded

    def begin(self) -> bytes:
        """Another exchange; what it begins with."""
        self._opening.is_again = False  # one that was under way has ended with its connection
        self._steps = self._authentication.answers()
        data = self._opening.data = self._step(None, "ended before it said anything")
        return data

    def _challenged(self, data: bytes) -> None:
        self._opening.answer(self._step(data, "has no answer to what the broker asks"))
        self._life.to_write.set()

    def _step(self, data: bytes | None, words: str) -> bytes:
        steps = self._steps
        assert steps
        try:
            answer = steps.send(data)  # type: ignore[arg-type]
        except StopIteration:
            raise ConnectError(f"the authentication {words}") from None
        except Exception as error:
            raise self._failed(error) from error
        if not isinstance(answer, bytes | bytearray | memoryview):  # it may be a secret, and is not shown
            raise ConnectError(f"the authentication yields {type(answer).__name__}: an answer must be bytes")
        if len(bytes(answer)) > DATA_MAX:
            raise ConnectError(f"the authentication yields more than {DATA_MAX} bytes")
        return bytes(answer)

    def _succeeded(self, data: bytes) -> None:
        steps, self._steps = self._steps, None
        assert steps
        try:
            steps.send(data)
        except StopIteration:
            return
        except Exception as error:
            raise self._failed(error) from error
        steps.close()
        raise ConnectError("the broker ended the authentication before the client had said all")

    async def again(self) -> None:
        """See Client.authenticate."""
        life = self._life
        opening = self._opening
        if not life.is_connected or opening.is_again:
            raise ConnectError("not connected, or already authenticating")
        opening.again(self.begin())
        life.to_write.set()
        while self._is_pending():
            await life.progress.wait()
        if self._steps:
            opening.is_again = False
            raise life.failure or life.error or ConnectError("the connection ended")

    def _is_pending(self) -> bool:
        life = self._life
        has_ended = life.failure is not None or life.error is not None or not life.is_connected
        return self._steps is not None and not has_ended

    def _failed(self, error: Exception) -> ConnectError:
        return ConnectError(f"the authentication raised {type(error).__name__}: {error}")
