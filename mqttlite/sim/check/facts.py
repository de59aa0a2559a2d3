"""What happened to messages as applications see it, and whether that is what was promised.

A program tells `Facts` when `publish` is called (`tried`), has returned (`accepted`), when its receipt is completed
(`confirmed`), and when a handler is entered (`entered`). `effects` is what the consumer's database holds in the end.
Messages are told apart by their payloads.
"""

import traceback
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from ..world import World


class Runnable(Protocol):
    """A small or a large world."""

    @property
    def world(self) -> "World":
        """Where it happens."""

    def run(self) -> list[str]:
        """Let it run to its end; what was promised and does not hold."""


def attempt(run: Runnable) -> list[str]:
    """Run a world to its end, and close it; its problems, to which an exception belongs like others."""
    try:
        return run.run()
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return [f"{type(error).__name__}: {error} ({last.filename.rpartition('/')[2]}:{last.lineno})"]
    finally:
        run.world.close()


class Promise(NamedTuple):
    """What is promised for the messages of a scenario.

    lossless   accepted => delivered (QoS 1 and 2)
    once       handled at most once (QoS 2, or a key), by an inbox: effects; without one, only where no consumer died
    certain    a message that was tried is accepted in the end: its producer publishes it again, with the same key
    """

    lossless: bool = True
    once: bool = True
    certain: bool = True


class Facts:
    """Of one run."""

    def __init__(self) -> None:
        self.tried: dict[str, None] = {}  # in order
        self.accepted: dict[str, None] = {}
        self.confirmed: dict[str, None] = {}
        self.doubted: dict[str, None] = {}  # their receipts said: in doubt
        self.entered: list[str] = []
        self.effects: list[str] = []  # in order of commit
        self.order: dict[str, tuple[str, int]] = {}  # publisher and topic, and number, of each message
        self.noticed: list[str] = []  # what checkers of other kinds have found

    def try_(self, payload: str, stream: str, number: int) -> None:
        """A program is about to publish the `number`-th message of a `stream` (its publisher and topic)."""
        self.tried.setdefault(payload)
        self.order[payload] = (stream, number)

    def problems(self, promise: Promise) -> list[str]:
        """What was promised and does not hold; nothing, if all is well."""
        found = list(self.noticed)
        effects = Counter(self.effects)
        wanted = self.tried if promise.certain else self.accepted
        if promise.lossless:
            found += [f"lost: {payload}" for payload in wanted if not effects[payload]]
            found += [f"confirmed, and lost: {payload}" for payload in self.confirmed if not effects[payload]]
        if promise.once:
            found += [f"{count} times: {payload}" for payload, count in effects.items() if count > 1]
        found += [f"never published: {payload}" for payload in effects if payload not in self.tried]
        last: dict[str, int] = {}
        for payload in dict.fromkeys(self.effects):  # the first time of each
            if payload not in self.order:
                continue
            stream, number = self.order[payload]
            if number < last.get(stream, -1):
                found.append(f"out of order: {payload} after {stream} {last[stream]}")
            last[stream] = max(number, last.get(stream, -1))
        return found
