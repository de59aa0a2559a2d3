"""Bugs in receipts and keys: the consumer that handles a message and acknowledges it."""

from typing import Any

from mqttlite.database.adapter import Database
from mqttlite.database.inbox import Inbox
from mqttlite.database.on_sqlite import SqliteDatabase
from mqttlite.database.receipts import ReceiptStore

from .planting import Bug, text, value
from .worlds import ONE, ONE_KEYS, TWO, TWO_ROLLBACK, under


async def _handle_in_two_transactions(self: Inbox, handler: Any, message: Any) -> None:
    async with self.database.transaction() as db:
        await self._check_new(db, message)
        handler(db, message)
    async with self.database.transaction() as db:
        done = await self._keep_receipt(db, message)
    self._kept(message, done)


BUGS = [
    Bug(
        "the inbox acknowledges before its commit",
        "The consumer acknowledges a message, then handles it.",
        "confirmed",
        under(ONE, "fail consumer disk 149"),
        text(
            Inbox._settle_first,
            {
                "self.client.acknowledge(message)": "pass",
                "await self._settle(handler, message)": "self.client.acknowledge(message);"
                " await asyncio.sleep(0); await self._settle(handler, message)",
            },
        ),
    ),
    Bug(
        "the receipt has a transaction of its own",
        "What a handler writes is committed before the receipt is.",
        "twice",
        under(TWO, "kill consumer before disk 153"),
        value(Inbox, "_handle", _handle_in_two_transactions),
    ),
    Bug(
        "the receipt is not kept",
        "The consumer's database does not know which identifiers were handled.",
        "twice",
        under(TWO, "kill consumer before disk 153"),
        text(ReceiptStore.add, {"return bool(": "return True or bool("}),
    ),
    Bug(
        "the deletion of a rollback journal is not synced",
        "A commit in the consumer's database is undone by a power cut that comes soon after it.",
        "confirmed",
        under(TWO_ROLLBACK, "power off consumer @ event 60"),
        value(SqliteDatabase, "create_tables", Database.create_tables),
    ),
    Bug(
        "receipts are never deleted",
        "The inbox keeps an identifier after PUBREL.",
        "leak",
        under(TWO),
        text(ReceiptStore.clear, {"in freed:": "in ():"}),
    ),
    Bug(
        "keys are ignored",
        "The inbox does not look whether a key was handled before.",
        "twice",
        under(ONE_KEYS, "kill consumer @ event 42"),
        text(Inbox._window, {"execute = self.database.execute": "return []"}),
    ),
]
