"""Helpers for what order alone cannot give, inside the inbox's transaction: numbers in sequence, states that only go
forward. Host only.

MQTT keeps the order of one publisher's messages of one QoS on one topic, and no more. Messages that belong together but
come over several topics, publishers or sessions carry a number or a state of their own; these two say what to do when
one comes early, late, or again. Both write in the handler's transaction, so they are as exact as the handler.

On sqlite3 the methods return their result; on asynchronous drivers they return an awaitable of it.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.errors import MQTTError
from .adapter import Database

if TYPE_CHECKING:
    from ..client.messages import Message


class TransitionError(MQTTError):
    """A state that cannot follow the one that the entity is in."""


class Item(NamedTuple):
    """A message whose turn has come."""

    number: int
    topic: str
    payload: bytes


class Sequence:
    """Numbers that are expected one after the other, by key (a device, an order, an account).

    name       tells sequences in one database apart
    first      the number that a new key begins with
    early_max  messages held back for one key; one more raises, so it is tried again and in the end a dead letter
    """

    def __init__(self, database: Database, name: str = "sequence", first: int = 1, early_max: int = 1000) -> None:
        self.database = database
        self.name = name
        self.first = first
        self.early_max = early_max

    def check(self, db: Any, key: str, number: int) -> Any:
        """How many numbers are missing before this one: 0, it is the next; negative, it was passed already (ignore the
        message). Goes on from the highest, so each gap is reported once.
        """
        return self.database.call(db, self._check(db, key, number))

    def in_order(self, db: Any, key: str, number: int, message: "Message") -> Any:
        """What is to be handled now, in order, as a list of Item: this message and those that waited for it, or nothing
        when it is early (held back in the table mqttlite_early) or was passed already.
        """
        return self.database.call(db, self._in_order(db, key, number, message))

    def give_up(self, db: Any, key: str) -> Any:
        """What is held back, as far as it has no gap of its own, although messages before it are missing for good."""
        return self.database.call(db, self._give_up(db, key))

    def gaps(self, db: Any) -> Any:
        """Keys that wait, as a list of (key, number that is missing, lowest number that is held back)."""
        sql = (
            "SELECT s.key, s.next, min(e.number) FROM mqttlite_sequence s JOIN mqttlite_early e "
            "ON e.sequence = s.sequence AND e.key = s.key WHERE s.sequence = ? GROUP BY s.key, s.next ORDER BY s.key"
        )
        return self.database.call(db, self.database.execute(db, sql, self.name))

    async def _next(self, db: Any, key: str) -> int:
        """The next number; the row is locked until the transaction ends."""
        execute = self.database.execute
        await execute(
            db,
            "INSERT INTO mqttlite_sequence (sequence, key, next) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            self.name,
            key,
            self.first,
        )
        rows = await execute(
            db,
            "SELECT next FROM mqttlite_sequence WHERE sequence = ? AND key = ?" + self.database.for_update,
            self.name,
            key,
        )
        number: int = rows[0][0]
        return number

    async def _set(self, db: Any, key: str, number: int) -> None:
        sql = "UPDATE mqttlite_sequence SET next = ? WHERE sequence = ? AND key = ?"
        await self.database.execute(db, sql, number, self.name, key)

    async def _check(self, db: Any, key: str, number: int) -> int:
        missing = number - await self._next(db, key)
        if missing >= 0:
            await self._set(db, key, number + 1)
        return missing

    async def _in_order(self, db: Any, key: str, number: int, message: "Message") -> list[Item]:
        execute = self.database.execute
        expected = await self._next(db, key)
        if number < expected:
            return []
        if number == expected:
            return [Item(number, message.topic, bytes(message.payload)), *await self._follow(db, key, number + 1)]
        rows = await execute(db, "SELECT count(*) FROM mqttlite_early WHERE sequence = ? AND key = ?", self.name, key)
        if rows[0][0] >= self.early_max:
            raise TransitionError(
                f"{self.early_max} messages of '{key}' wait for number {expected}; find out where it is, or give it up"
            )
        await execute(
            db,
            "INSERT INTO mqttlite_early (sequence, key, number, topic, payload) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            self.name,
            key,
            number,
            message.topic,
            bytes(message.payload),
        )
        return []

    async def _follow(self, db: Any, key: str, expected: int) -> list[Item]:
        """Take out what is held back from `expected` on without a gap; what comes after it is expected next."""
        execute = self.database.execute
        items: list[Item] = []
        rows = await execute(
            db,
            "SELECT number, topic, payload FROM mqttlite_early WHERE sequence = ? AND key = ? ORDER BY number",
            self.name,
            key,
        )
        for row in rows:
            if row[0] != expected:
                break
            items.append(Item(*row))
            expected += 1
        await execute(
            db,
            "DELETE FROM mqttlite_early WHERE sequence = ? AND key = ? AND number < ?",
            self.name,
            key,
            expected,
        )
        await self._set(db, key, expected)
        return items

    async def _give_up(self, db: Any, key: str) -> list[Item]:
        expected = await self._next(db, key)
        rows = await self.database.execute(
            db, "SELECT min(number) FROM mqttlite_early WHERE sequence = ? AND key = ?", self.name, key
        )
        return await self._follow(db, key, expected if rows[0][0] is None else rows[0][0])


class Transitions:
    """A guard for entities that go through states, such as {"pending": {"active"}, "active": {"done"}}.

    name      tells guards in one database apart
    may_skip  True: a state that is further on may be entered directly, and those skipped are stale from then on.
              Default: that raises, so the message is tried again, by when those before it may have come
    """

    def __init__(
        self, database: Database, name: str, transitions: Mapping[str, Iterable[str]], may_skip: bool = False
    ) -> None:
        self.database = database
        self.name = name
        self.may_skip = may_skip
        self._next = {state: frozenset(following) for state, following in transitions.items()}
        targets = frozenset().union(*self._next.values())
        self.states = targets | self._next.keys()
        self.initial = self.states - targets or self.states
        self._after = {state: self._reachable(state) for state in self.states}

    def _reachable(self, state: str) -> frozenset[str]:
        found: set[str] = set()
        waiting = [state]
        while waiting:
            for following in self._next.get(waiting.pop(), frozenset()) - found:
                found.add(following)
                waiting.append(following)
        return frozenset(found)

    def apply(self, db: Any, entity: str, state: str) -> Any:
        """Enter `state`: True; False when the entity is in it or was beyond it already, so the message is stale.

        ValueError for a state that the guard does not know, TransitionError for one that cannot be entered from here.
        """
        if state not in self.states:
            raise ValueError(f"'{state}' is no state of {self.name}; there are {', '.join(sorted(self.states))}")
        return self.database.call(db, self._apply(db, entity, state))

    async def _apply(self, db: Any, entity: str, state: str) -> bool:
        execute = self.database.execute
        if state in self.initial or self.may_skip:
            rows = await execute(
                db,
                "INSERT INTO mqttlite_state (machine, entity, state) VALUES (?, ?, ?) "
                "ON CONFLICT DO NOTHING RETURNING 1",
                self.name,
                entity,
                state,
            )
            if rows:
                return True
        rows = await execute(
            db,
            "SELECT state FROM mqttlite_state WHERE machine = ? AND entity = ?" + self.database.for_update,
            self.name,
            entity,
        )
        if not rows:
            raise TransitionError(f"{self.name} '{entity}' cannot begin as {state}")
        now = rows[0][0]
        if state == now:
            return False
        if state not in self._next.get(now, ()):
            if now in self._after[state]:
                return False
            if not (self.may_skip and state in self._after[now]):
                raise TransitionError(f"{self.name} '{entity}' cannot go from {now} to {state}")
        await execute(
            db, "UPDATE mqttlite_state SET state = ? WHERE machine = ? AND entity = ?", state, self.name, entity
        )
        return True
