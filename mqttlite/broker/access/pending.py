"""CONNECT that takes time to be answered: a password that is hashed in a thread, a hook that asks a server. Imports
guard, authentication, stats.

Nothing that such a connection sends is looked at, and no more than a CONNECT's size is read; its time is that of
CONNECT, and when it ends, so does the question. It is not one of those that are half open, of which the oldest go: who
waits for us does not pay for it. A few are asked at once; the others wait, one from each
address in turn, so that a flood from one does not keep others out. The shell takes `next` questions, awaits them, and
says so (`Engine.answered`).
"""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from ...core.reason_codes import UNAVAILABLE
from .authentication import Refusal
from .guard import Guard, Later


class Asking(Protocol):
    """A connection whose CONNECT waits for an answer (peer.Peer)."""

    address: str
    origin: str  # what counts as its address (bounds/addresses.py)


class Question:
    """What the shell awaits for `peer`. `ask`: as of guard.Later; `of`: the guard that has it. `cancel`: set by the
    shell; called when the answer is not wanted any more.
    """

    __slots__ = ("ask", "asked_at", "cancel", "is_over", "of", "peer")

    def __init__(self, peer: Asking, ask: Later, now: int, of: Guard | None = None) -> None:
        self.of = of
        self.peer = peer
        self.ask = ask
        self.asked_at = now
        self.is_over = False
        self.cancel: Callable[[], object] | None = None

    def end(self) -> None:
        """Nobody wants to know any more, or the answer is there."""
        self.is_over = True
        cancel, self.cancel = self.cancel, None
        if cancel:
            cancel()


class Crowded(Refusal):
    """Too many wait."""


class Pending:
    """All questions. `at_once`: so many are asked at the same time; `waiting_max`: so many wait for that, for all
    addresses, and a quarter of it for one.
    """

    def __init__(self, at_once: int, waiting_max: int) -> None:
        self.take_limits(at_once, waiting_max)
        self._waiting: dict[str, deque[Question]] = {}  # by address; in the order of their turns
        self._count = 0
        self._running: dict[Question, None] = {}

    def take_limits(self, at_once: int, waiting_max: int) -> None:
        """Others from now on."""
        self._at_once = max(1, at_once)
        self._waiting_max = waiting_max

    def __len__(self) -> int:
        return self._count + len(self._running)

    @property
    def waiting(self) -> int:
        """How many wait to be asked."""
        return self._count

    def add(self, question: Question) -> None:
        """Crowded where too many wait."""
        origin = question.peer.origin
        queue = self._waiting.get(origin)
        if self._count >= self._waiting_max or (queue and len(queue) >= max(1, self._waiting_max // 4)):
            raise Crowded(UNAVAILABLE, "too many wait for their authentication")
        if queue is None:
            queue = self._waiting[origin] = deque()
        queue.append(question)
        self._count += 1

    def drop(self, question: Question) -> None:
        """Nobody wants to know any more. One that is being asked counts until the shell has done with it."""
        origin = question.peer.origin
        queue = self._waiting.get(origin)
        if queue and question in queue:
            queue.remove(question)
            self._count -= 1
            if not queue:
                del self._waiting[origin]
        question.end()

    def take(self) -> Question | None:
        """The next question to ask now, if one may be."""
        if len(self._running) >= self._at_once:
            return None
        for origin, queue in self._waiting.items():
            del self._waiting[origin]
            question = queue.popleft()
            self._count -= 1
            if queue:
                self._waiting[origin] = queue  # the last one now
            self._running[question] = None
            return question
        return None

    def finish(self, question: Question) -> bool:
        """It has an answer; whether somebody still wants it."""
        self._running.pop(question, None)
        wanted = not question.is_over
        question.cancel = None
        question.is_over = True
        return wanted

    def overdue(self, now: int, most_ms: int) -> list[Question]:
        """Those that have been asked for too long."""
        return [each for each in self._running if not each.is_over and now - each.asked_at >= most_ms]
