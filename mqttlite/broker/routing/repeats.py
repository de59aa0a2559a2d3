"""Repeats of producers with idempotency keys (core/keys.py): acknowledged, and not delivered again. Imports means.

A key counts for the client identifier and the topic that it comes with, so that nobody can use up another one's
numbers, and who passes a message on to another topic loses nothing. What is remembered is bounded, in bytes and by the
time since a producer was heard last; whoever was forgotten is new. In the store, what was seen becomes durable in the
commit of the message itself.
"""

from hashlib import blake2b

from ...core.keys import PROPERTY, from_text, is_seen, see, unwrap
from ...core.properties import user_property
from ...store.tables.queue_tables import FORGOTTEN, NUMBER_SEEN, TIME_SIZE
from ..clients.peer import Peer
from ..messages.extras import properties_of
from .means import Means

ENVELOPE = b"\xfc"  # the first byte of one, as core/keys.py has it
COST = 512  # bytes of memory for the numbers of one producer at one topic
NAME = 16  # bytes


class Numbers:
    """What was seen of one producer. `window`: as core/keys.py has it; `at`: when it was heard last (ms, the broker's
    clock).
    """

    __slots__ = ("at", "window")

    def __init__(self, window: list[int], at: int) -> None:
        self.window = window
        self.at = at


class Repeats:
    """`find` before a message is taken, `remember` when it is."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._known: dict[bytes, Numbers] = {}  # who was not heard for longest first

    def __len__(self) -> int:
        return len(self._known)

    def key_of(self, publisher: Peer, topic: bytes, payload: bytes, extra: bytes) -> tuple[bytes, int]:
        """The name of the window and the number of a message; an empty name where it has no key."""
        if extra:
            text = user_property(properties_of(extra), PROPERTY)
            key = from_text(text) if text else None
        else:
            opened = unwrap(payload)
            key = opened[0] if opened else None
        client = publisher.client
        if key is None or client is None:
            return b"", 0
        producer, epoch, sequence = key
        whole = b"".join(
            (
                len(client.client_id).to_bytes(2, "big"),
                client.client_id,
                len(topic).to_bytes(2, "big"),
                topic,
                epoch.to_bytes(8, "big"),
                producer,
            )
        )
        return blake2b(whole, digest_size=NAME).digest(), sequence

    def is_repeat(self, name: bytes, sequence: int) -> bool:
        """Whether it was seen; counted."""
        found = self._known.get(name)
        if found is None or not is_seen(found.window, sequence):
            return False
        self._means.stats.repeats += 1
        return True

    def remember(self, name: bytes, sequence: int) -> None:
        """The message is taken."""
        means = self._means
        found = self._known.pop(name, None)
        at = means.router.clock()
        if found is None:
            found = Numbers([], at)
            self._make_room()
        self._known[name] = found
        found.at = at
        see(found.window, sequence)
        means.note(0, NUMBER_SEEN, sequence, name, extra=at.to_bytes(TIME_SIZE, "big"), waits=True)

    def _make_room(self) -> None:
        means = self._means
        while self._known and (len(self._known) + 1) * COST > means.limits.deduplicate_bytes:
            means.watch.hit(
                "deduplicate_bytes", "all producers", "the one not heard for longest is forgotten", means.router.now
            )
            self._forget(next(iter(self._known)))

    def _forget(self, name: bytes) -> None:
        del self._known[name]
        self._means.note(0, FORGOTTEN, 0, name)

    def look(self) -> None:
        """Once a second: forget who was not heard for too long."""
        oldest = self._means.router.clock() - self._means.limits.deduplicate_ms
        while self._known:
            name = next(iter(self._known))
            if self._known[name].at > oldest:
                break
            self._forget(name)

    def load(self, kept: dict[bytes, tuple[int, int, int]]) -> None:
        """What the store has kept, the oldest first."""
        for name, (highest, bits, at) in kept.items():
            self._known[name] = Numbers([highest, bits], at)
