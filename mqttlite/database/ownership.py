"""Which process receives, of those with one name: the last one that has begun. A row of mqttlite_inbox says so, for
inboxes (receipts.py) and for readers of streams (stream_inbox.py). Imports adapter.
"""

from typing import Any

from .adapter import Database

Who = tuple[str, str]  # `inbox` and `client_id` of the row


async def take_over(database: Database, db: Any, who: Who) -> tuple[int, int]:
    """Be the owner from the end of this transaction on: its number, and that of the session."""
    rows = await database.execute(
        db,
        "INSERT INTO mqttlite_inbox (inbox, client_id, owner, session) VALUES (?, ?, 1, 0) "
        "ON CONFLICT (inbox, client_id) DO UPDATE SET owner = mqttlite_inbox.owner + 1 RETURNING owner, session",
        *who,
    )
    return rows[0][0], rows[0][1]


async def is_owner(database: Database, db: Any, who: Who, owner: int, lock: str) -> bool:
    """Whether nobody has taken over since, nor can, until the transaction ends. `lock`: the database's `for_share`, or
    its `for_update` where transactions of one owner wait for each other, too.
    """
    sql = "SELECT owner FROM mqttlite_inbox WHERE inbox = ? AND client_id = ?" + lock
    return await database.execute(db, sql, *who) == [(owner,)]
