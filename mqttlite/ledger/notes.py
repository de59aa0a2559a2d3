"""What has happened since the last batch was written: one row for a message and a peer, whatever happened between them.
No I/O and no clock: `now` comes in as ms, when a batch is due goes out.
"""

from .steps import ACCEPTED, FORWARDED, HANDLED, Key

BATCH_MS = 1000  # from the first note to the batch that it is in
ROWS_FULL = 5_000  # in a batch that is written without waiting for that
ROWS_MAX = 20_000  # that wait; what comes beyond is counted and not noted: the file cannot keep up
TOPIC_MAX = 512  # bytes of a topic name that are kept

_COUNTED = {ACCEPTED: 0, FORWARDED: 1, HANDLED: 2}  # steps that may come more than once: where they are counted


class Row:
    """What happened between this place and a peer. `at`: ms since 1970, by step; 0: it has not. `counts`: how often it
    was accepted, forwarded, handled.
    """

    __slots__ = ("at", "cause", "counts", "size", "topic", "trace")

    def __init__(self) -> None:
        self.at = [0, 0, 0, 0, 0, 0]
        self.counts = [0, 0, 0]
        self.topic = b""
        self.size = 0
        self.trace = b""
        self.cause = ""


Batch = dict[tuple[Key, bytes], Row]  # by key and peer


class Notes:
    """`ahead_ms`: what is added to `now` for the time of the day; who knows that keeps it right."""

    def __init__(self) -> None:
        self.ahead_ms = 0
        self.missed = 0  # notes for which there was no room
        self.is_full = False  # the batch is due, however young it is
        self.counts = [0, 0, 0, 0, 0, 0]  # notes taken, by step
        self._rows: Batch = {}
        self._due_ms = 0
        self._unstored: dict[tuple[Key, bytes], list[tuple[int, str]]] = {}  # notes that hold when a commit is done
        self._committing: dict[tuple[Key, bytes], list[tuple[int, str]]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def note(
        self,
        step: int,
        key: Key,
        peer: bytes,
        now: int,
        topic: bytes = b"",
        size: int = 0,
        trace: bytes = b"",
        cause: str = "",
    ) -> None:
        """A step of the message with this key. What is known of the message itself comes with any of them."""
        name = (key, peer)
        row = self._rows.get(name)
        if row is None:
            if len(self._rows) >= ROWS_MAX:
                self.missed += 1
                return
            row = self._rows[name] = Row()
            if len(self._rows) == 1:
                self._due_ms = now + BATCH_MS
            elif len(self._rows) == ROWS_FULL:
                self._due_ms = now
                self.is_full = True
        self.counts[step] += 1
        if not row.at[step]:
            row.at[step] = now + self.ahead_ms
        counted = _COUNTED.get(step, -1)
        if counted >= 0:
            row.counts[counted] += 1
        if topic:
            row.topic = topic[:TOPIC_MAX]
            row.size = size
        if trace:
            row.trace = trace
        if cause:
            row.cause = cause

    # -- what holds only when the store says so

    def wait_for_commit(self, step: int, key: Key, peer: bytes) -> None:
        """To be noted when what is recorded by now is durable."""
        self._unstored.setdefault((key, peer), []).append((step, ""))

    def note_in_turn(self, step: int, key: Key, peer: bytes, now: int, cause: str = "") -> None:
        """To be noted now, or behind what waits of this message: nothing leaves before that is durable."""
        name = (key, peer)
        waiting = self._unstored.get(name) or self._committing.get(name)
        if waiting is None:
            self.note(step, key, peer, now, cause=cause)
        else:
            waiting.append((step, cause))

    def commit_begins(self) -> None:
        """What waits by now is in the batch that the store writes."""
        if self._unstored:
            if self._committing:
                self._committing.update(self._unstored)  # the one before has failed, and comes again with this one
                self._unstored = {}
            else:
                self._committing, self._unstored = self._unstored, self._committing

    def committed(self, now: int) -> None:
        """That batch is durable."""
        if self._committing:
            for (key, peer), steps in self._committing.items():
                for step, cause in steps:
                    self.note(step, key, peer, now, cause=cause)
            self._committing.clear()

    # -- batches

    def due_ms(self) -> int | None:
        """When the batch is to be written; None: there is none."""
        return self._due_ms if self._rows else None

    def take(self) -> Batch:
        """The batch, which is somebody else's from now on."""
        rows, self._rows = self._rows, {}
        self.is_full = False
        return rows
