"""Bytes, from the real encoders: MQTT packets, frames of the serial link, records in a journal."""

import math

from ..core import records
from ..core.codec import publish_head
from ..link import frames
from ..store.area_file import LARGE, PIECE
from ..store.journal import FRAME as JOURNAL_FRAME
from . import costs

ACKNOWLEDGEMENT = 4  # PUBACK, PUBREC, PUBREL, PUBCOMP of 3.1.1
PACKET_ID = 2


def publish(topic: str, payload_bytes: int, qos: int) -> int:
    """Bytes of a PUBLISH packet."""
    head = publish_head(qos << 1, topic.encode(), payload_bytes)
    return len(head) + (PACKET_ID if qos else 0) + payload_bytes


def frame(payload_bytes: int, credit: bool = False) -> int:
    """Bytes on the line of a frame with so much payload, on a line that was not idle (idle: one more)."""
    return len(frames.encode(frames.DATA | frames.MQTT, 1, 1, 1, 0, 1 if credit else -1, bytes(payload_bytes), False))


FRAME = frame(0)
CONTROL_FRAME = frame(0, credit=True)  # ACK, NAK, PING: what they carry beside the acknowledgement is credit


def journal(topic: str, payload_bytes: int, qos: int) -> int:
    """Bytes that a message writes into a journal, from its acceptance to its end."""
    head = publish_head(qos << 1, topic.encode(), payload_bytes)
    kinds = [records.encode(records.ACCEPTED, 0, head, bytes(payload_bytes)), records.encode(records.DONE, 0)]
    if qos == 2:
        kinds.append(records.encode(records.RELEASED, 0))
    return sum(len(record) + JOURNAL_FRAME for record in kinds)


def erases(journal_bytes: float, commits: float, store: str) -> float:
    """Erases of flash blocks. `store`: journal (on littlefs) or raw (a partition)."""
    per_commit = commit_erases(journal_bytes / commits) if store == "journal" else 0.0
    return commits * per_commit + journal_bytes / costs.FLASH_BLOCK


def commit_erases(size: float) -> float:
    """Erases of littlefs for a commit of `size` bytes, besides the blocks that fill."""
    if size > LARGE:
        return costs.LITTLEFS_ERASES_PER_COMMIT
    return max(1, math.ceil(size / PIECE)) * costs.LITTLEFS_ERASES_PER_SMALL_FILE
