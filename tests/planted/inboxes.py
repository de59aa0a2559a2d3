"""Bugs in receipts and keys: the consumer that handles a message and acknowledges it."""

from typing import Any

from mqttlite.database.adapter import Database
from mqttlite.database.inbox import Inbox
from mqttlite.database.on_sqlite import SqliteDatabase
from mqttlite.database.receipts import ReceiptStore
from mqttlite.database.windows import KeyWindows

from .planting import Change, Given, text, value


async def _handle_in_two_transactions(self: Inbox, handler: Any, message: Any) -> None:
    async with self.database.transaction() as db:
        await self._check_new(db, message)
        await handler(db, message)
    async with self.database.transaction() as db:
        done = await self._keep_receipt(db, message)
    self._kept(message, done)


CHANGES: dict[str, Change | Given] = {
    "the inbox acknowledges before its commit": text(
        Inbox._settle_first,
        {
            "self.client.acknowledge(message)": "pass",
            "await self._settle(handler, message)": "self.client.acknowledge(message);"
            " await asyncio.sleep(0); await self._settle(handler, message)",
        },
    ),
    "the receipt has a transaction of its own": value(Inbox, "_handle", _handle_in_two_transactions),
    "the receipt is not kept": text(ReceiptStore.add, {"return bool(": "return True or bool("}),
    "the deletion of a rollback journal is not synced": value(SqliteDatabase, "create_tables", Database.create_tables),
    "receipts are never deleted": text(ReceiptStore.clear, {"in freed:": "in ():"}),
    "keys are ignored": text(KeyWindows.open, {"execute = database.execute": "return []"}),
}
