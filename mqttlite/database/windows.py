"""What has been seen of the producers of idempotency keys (mqttlite/core/keys.py): the table mqttlite_keys, of whoever
handles messages in transactions of the application's database. Host only.

    window = await windows.open(database, db, producer, epoch, sequence, True)     # SeenError: nothing of it is new
    if see(window, sequence): ...
    await windows.keep(database, db, producer, epoch, window)
"""

from typing import Any

from ..core.keys import EPOCHS, SPAN
from .adapter import Database

_INSERT = "INSERT INTO mqttlite_keys (inbox, producer, epoch, highest, bitmap) VALUES (?, ?, ?, ?, ?) "


class SeenError(Exception):
    """Of an epoch that was forgotten long ago: whatever comes of it counts as seen."""


class KeyWindows:
    """Those of all who call themselves `inbox`."""

    def __init__(self, inbox: str) -> None:
        self.inbox = inbox

    async def open(
        self, database: Database, db: Any, producer: bytes, epoch: int, sequence: int, to_change: bool
    ) -> list[int]:
        """The window of a producer and epoch; [] when nothing of it was seen. SeenError: it is too old to tell.
        `to_change`: nobody else changes it until the transaction has ended; `sequence`: of a message.
        """
        execute = database.execute
        if to_change and database.for_update:
            # A row to lock: two handlers side by side may have messages of a producer that is new.
            await execute(db, _INSERT + "ON CONFLICT DO NOTHING", self.inbox, producer, epoch, sequence, b"")
        rows = await execute(
            db,
            "SELECT highest, bitmap FROM mqttlite_keys WHERE inbox = ? AND producer = ? AND epoch = ?"
            + (database.for_update if to_change else ""),
            self.inbox,
            producer,
            epoch,
        )
        if rows and rows[0][1]:
            return [rows[0][0], int.from_bytes(rows[0][1], "big")]
        # The first message of an epoch: the oldest are forgotten, and one that was forgotten does not come back.
        old = await execute(
            db,
            "SELECT epoch FROM mqttlite_keys WHERE inbox = ? AND producer = ? AND epoch <> ? AND epoch > 0 "
            "ORDER BY epoch DESC",
            self.inbox,
            producer,
            epoch,
        )
        if epoch and len(old) >= EPOCHS:  # epoch 0, the application's own, is never too old
            if epoch < old[EPOCHS - 1][0]:
                raise SeenError
            if to_change:
                await execute(
                    db,
                    "DELETE FROM mqttlite_keys WHERE inbox = ? AND producer = ? AND epoch <= ? AND epoch <> ? "
                    "AND epoch > 0",
                    self.inbox,
                    producer,
                    old[EPOCHS - 1][0],
                    epoch,
                )
        return []

    async def keep(self, database: Database, db: Any, producer: bytes, epoch: int, window: list[int]) -> None:
        """The window is so from now on."""
        await database.execute(
            db,
            _INSERT + "ON CONFLICT (inbox, producer, epoch) "
            "DO UPDATE SET highest = excluded.highest, bitmap = excluded.bitmap",
            self.inbox,
            producer,
            epoch,
            window[0],
            window[1].to_bytes(SPAN // 8, "big"),
        )
