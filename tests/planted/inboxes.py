"""Bugs in receipts and keys: the consumer that handles a message and acknowledges it."""

import asyncio
from typing import Any

from mqttlite.database.adapters import Database, _Sqlite
from mqttlite.database.inbox import Inbox
from mqttlite.database.receipts import ReceiptStore

from .planting import Patch
from .register import ONE, ONE_KEYS, TWO, TWO_ROLLBACK, mutation


@mutation(
    "the inbox acknowledges before its commit",
    "The consumer acknowledges a message, then handles it.",
    "confirmed",
    ONE,
    "fail consumer disk 149",
)
def _(patch: Patch) -> None:
    async def settle_first(self: Inbox, handler: Any) -> None:
        message = self._taken.popleft()
        self.client.acknowledge(message)
        await asyncio.sleep(0)
        await self._settle(handler, message)

    patch.set(Inbox, "_settle_first", settle_first)


@mutation(
    "the receipt has a transaction of its own",
    "What a handler writes is committed before the receipt is.",
    "twice",
    TWO,
    "kill consumer before disk 153",
)
def _(patch: Patch) -> None:
    async def handle(self: Inbox, handler: Any, message: Any) -> None:
        async with self.database.transaction() as db:
            await self._check_new(db, message)
            handler(db, message)
        async with self.database.transaction() as db:
            done = await self._keep_receipt(db, message)
        self._kept(message, done)

    patch.set(Inbox, "_handle", handle)


@mutation(
    "the receipt is not kept",
    "The consumer's database does not know which identifiers were handled.",
    "twice",
    TWO,
    "kill consumer before disk 153",
)
def _(patch: Patch) -> None:
    async def add(self: ReceiptStore, db: Any, generation: int, packet_id: int) -> bool:
        return True

    patch.set(ReceiptStore, "add", add)


@mutation(
    "the deletion of a rollback journal is not synced",
    "A commit in the consumer's database is undone by a power cut that comes soon after it.",
    "confirmed",
    TWO_ROLLBACK,
    "power off consumer @ event 60",
)
def _(patch: Patch) -> None:
    patch.set(_Sqlite, "create_tables", Database.create_tables)


@mutation(
    "receipts are never deleted",
    "The inbox keeps an identifier after PUBREL.",
    "leak",
    TWO,
)
def _(patch: Patch) -> None:
    def wrap(clear: Any) -> Any:
        async def cleared(self: ReceiptStore, db: Any) -> Any:
            freed, self._freed = self._freed, set()
            generation, _ = await clear(self, db)
            self._freed |= freed
            return generation, frozenset(freed)

        return cleared

    patch.around(ReceiptStore, "clear", wrap)


@mutation(
    "keys are ignored",
    "The inbox does not look whether a key was handled before.",
    "twice",
    ONE_KEYS,
    "kill consumer @ event 42",
)
def _(patch: Patch) -> None:
    async def window(self: Inbox, *args: Any) -> list[int]:
        return []

    patch.set(Inbox, "_window", window)
