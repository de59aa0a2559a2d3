"""Messages that are queued in a broker's store, in blocks: a row of the table `block` has those of one session that
came one after the other, so that a queue of a million takes a few thousand rows. CPython only.

    block    id: session << 40 | number of its first message; last: of its last one; there: a bit for each number from
             the first one on, of which there is a message, as bytes; NULL: of each; records: as in batches.py; crc: of
             these, CRC-32
    content  a payload that several sessions have, once; a message has SHARED as its kind, and as its payload the number
             of the content (8 bytes) and its size (4)
    mark     what became of messages in blocks: id as that of a block, to the number `last`; bits below

A block is written once. It goes, with its marks, when all of its messages are done; a content when no block has it.
Which blocks there are, and what is left in them, is known in memory: a number of bits for each block.
"""

from binascii import crc32
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import NamedTuple

from ...core import records as r
from ...core.codec import released
from . import batches
from .sqlite_schema import Damaged
from .sqlite_tables import Connection, ranges

SEQ = 40  # bits of a sequence number
IS_RELEASED = 1  # PUBREC has come
IS_STARTED = 2  # it may expire, and was sent
IS_DONE = 4
SHARED = 0x40 | r.ACCEPTED
BLOCK_MAX = 64 << 10  # bytes of content, unless one message has more
SPAN_MAX = 4096  # numbers
TAKEN_OVER_AT_ONCE = 1 << 20  # bytes of an earlier release's messages that are put into blocks in one transaction
SHARE_MIN = 128  # bytes of a payload that are worth a row of their own
MIGRATION = (
    "CREATE TABLE block (id INTEGER PRIMARY KEY, last INTEGER, there BLOB, crc INTEGER, records BLOB)",
    "CREATE TABLE content (id INTEGER PRIMARY KEY, payload BLOB)",
    "CREATE TABLE mark (id INTEGER, last INTEGER, bits INTEGER)",
    "CREATE INDEX marks ON mark (id)",
)

_MASK = (1 << SEQ) - 1

_DAMAGE = "a block of queued messages is not as it was written"

Content = tuple[bytes, bytes, bytes]  # head, payload, extra
Message = tuple[int, int, bytes, bytes, bytes]  # key (session << SEQ | number), bits, head, payload, extra


class Block(NamedTuple):
    """`left`: a bit for each message from `first` on that is not done. `contents`: numbers of those that it shares."""

    first: int
    last: int
    left: int
    contents: tuple[int, ...] = ()


class Waiting(NamedTuple):
    """Messages of a session that are on the disk and not in memory: those of `left`, as in a block."""

    first: int
    left: int
    sizes: list[int]  # of all numbers from `first` to the last one, bytes; 0: it is not there


class Loaded(NamedTuple):
    """A block: its messages by number, those of them that were sent and may expire; or what stays on the disk."""

    messages: dict[int, Content]
    started: set[int]
    waiting: Waiting | None


def _first(block: Block) -> int:
    return block.first


def _bits(first: int, last: int) -> int:
    """A mask with the bits from `first` to `last`."""
    return ((1 << (last - first + 1)) - 1) << first


class Blocks:
    """The blocks of a file. What a transaction changes is known as changed when `committed` says so."""

    def __init__(self) -> None:
        self._sessions: dict[int, list[Block]] = {}
        self._contents: dict[int, int] = {}  # blocks that have it, by its number
        self._next = 1  # number of the next content
        self._staged: dict[int, list[Block]] = {}
        self._shares: dict[int, int] = {}  # change in the number of blocks by content
        self._marks: dict[int, list[tuple[int, int, int]]] = {}  # while blocks are read
        self.fresh: list[tuple[int, int, int]] = []  # session, first and last number of blocks that were committed
        self._written: list[tuple[int, int, int]] = []

    def committed(self) -> None:
        """The transaction is durable."""
        for session, blocks in self._staged.items():
            if blocks:
                self._sessions[session] = blocks
            else:
                self._sessions.pop(session, None)
        for number, change in self._shares.items():
            self._contents[number] = self._contents.get(number, 0) + change
            if not self._contents[number]:
                del self._contents[number]
        self.fresh += self._written
        self.rolled_back()

    def rolled_back(self) -> None:
        """The transaction has changed nothing."""
        self._staged = {}
        self._shares = {}
        self._written = []

    def _of(self, session: int) -> list[Block]:
        """The blocks of a session, to be changed."""
        blocks = self._staged.get(session)
        if blocks is None:
            blocks = self._staged[session] = list(self._sessions.get(session, ()))
        return blocks

    # -- what a transaction writes

    def mark(self, connection: Connection, keys: list[int], bits: int) -> None:
        """Messages with these keys are done, or else. Those that are in no block are passed over."""
        rows: dict[int, list[tuple[int, int, int]]] = {}  # by the key of the block
        for first_key, last_key in ranges(keys):
            for session in range(first_key >> SEQ, (last_key >> SEQ) + 1):
                if session in self._sessions or session in self._staged:
                    first = first_key & _MASK if session == first_key >> SEQ else 0
                    last = last_key & _MASK if session == last_key >> SEQ else _MASK
                    self._mark(connection, session, first, last, bits, rows)
        if rows:
            connection.executemany(
                "INSERT INTO mark VALUES (?, ?, ?)", [row for found in rows.values() for row in found]
            )

    def _mark(
        self,
        connection: Connection,
        session: int,
        first: int,
        last: int,
        bits: int,
        rows: dict[int, list[tuple[int, int, int]]],
    ) -> None:
        """Add the marks for messages `first` to `last` of a session to `rows`; blocks in which nothing is left go."""
        blocks = self._of(session)
        index = max(0, bisect_right(blocks, first, key=_first) - 1)
        while index < len(blocks) and blocks[index].first <= last:
            block = blocks[index]
            low, high = max(first, block.first), min(last, block.last)
            if low <= high:
                changed = block.left & _bits(low - block.first, high - block.first)
                left = block.left & ~changed if bits & IS_DONE else block.left
                key = session << SEQ | block.first
                if not left:
                    rows.pop(key, None)
                    self._drop(connection, session, block)
                    del blocks[index]
                    continue
                blocks[index] = block._replace(left=left)
                if changed:
                    rows.setdefault(key, []).append((session << SEQ | low, high, bits))
            index += 1

    def _drop(self, connection: Connection, session: int, block: Block) -> None:
        key = session << SEQ
        connection.execute("DELETE FROM block WHERE id = ?", (key | block.first,))
        connection.execute("DELETE FROM mark WHERE id BETWEEN ? AND ?", (key | block.first, key | block.last))
        self._unshare(connection, block)

    def _unshare(self, connection: Connection, block: Block) -> None:
        for number in block.contents:
            change = self._shares[number] = self._shares.get(number, 0) - 1
            if self._contents.get(number, 0) + change <= 0:
                connection.execute("DELETE FROM content WHERE id = ?", (number,))

    def end(self, connection: Connection, session: int) -> None:
        """A session has ended."""
        blocks = self._of(session)
        if blocks:
            span = (session << SEQ, session << SEQ | _MASK)
            connection.execute("DELETE FROM block WHERE id BETWEEN ? AND ?", span)
            connection.execute("DELETE FROM mark WHERE id BETWEEN ? AND ?", span)
            for block in blocks:
                self._unshare(connection, block)
            blocks.clear()
            self._written = [written for written in self._written if written[0] != session]

    def write(self, connection: Connection, messages: Iterable[Message]) -> None:
        """Write new messages, those of each session in the order of their numbers."""
        by_session: dict[int, list[Message]] = {}
        copies: dict[int, int] = {}  # by the identity of a payload: how often it is there
        for message in messages:
            by_session.setdefault(message[0] >> SEQ, []).append(message)
            if len(message[3]) >= SHARE_MIN:
                copies[id(message[3])] = copies.get(id(message[3]), 0) + 1
        shared: dict[int, int] = {}  # number of the content by that
        rows: list[tuple[int, int, bytes | None, int, bytes]] = []
        marks: list[int] = []
        for session, found in by_session.items():
            blocks = self._of(session)
            for piece in _pieces(found):
                contents: dict[int, None] = {}
                left = 0
                first = piece[0][0] & _MASK
                block: list[r.Record] = []
                for key, bits, head, payload, extra in piece:
                    seq = key & _MASK
                    kind = r.ACCEPTED
                    if copies and copies.get(id(payload), 0) > 1:
                        number = shared.get(id(payload)) or self._share(connection, payload, shared)
                        contents[number] = None
                        kind = SHARED
                        payload = number.to_bytes(8, "big") + len(payload).to_bytes(4, "big")
                    block.append((kind, seq, released(head) if bits & IS_RELEASED else head, payload, extra))
                    left |= 1 << (seq - first)
                    if bits & IS_STARTED:
                        marks.append(key)
                data = batches.encode(block)
                last = first + left.bit_length() - 1
                rows.append((session << SEQ | first, last, _there(first, last, left), crc32(data), data))
                for number in contents:
                    self._shares[number] = self._shares.get(number, 0) + 1
                blocks.append(Block(first, last, left, tuple(contents)))
                self._written.append((session, first, last))
        connection.executemany("INSERT OR REPLACE INTO block VALUES (?, ?, ?, ?, ?)", rows)
        if marks:
            self.mark(connection, marks, IS_STARTED)

    def write_plain(self, connection: Connection, session: int, first: int, messages: list[Content]) -> None:
        """Write new messages of a session, numbers `first` and above, of which there is nothing else to be said."""
        rows: list[tuple[int, int, None, int, bytes]] = []
        blocks = self._of(session)
        for piece in _plain_pieces(messages):
            data = batches.encode_block(first, piece)
            last = first + len(piece) - 1
            rows.append((session << SEQ | first, last, None, crc32(data), data))
            blocks.append(Block(first, last, _bits(0, last - first)))
            self._written.append((session, first, last))
            first = last + 1
        connection.executemany("INSERT OR REPLACE INTO block VALUES (?, ?, ?, ?, ?)", rows)

    def _share(self, connection: Connection, payload: bytes, shared: dict[int, int]) -> int:
        number = shared[id(payload)] = self._next
        self._next += 1
        connection.execute("INSERT INTO content VALUES (?, ?)", (number, payload))
        return number

    # -- what is read

    def fetch(self, connection: Connection, session: int, first: int, left: int) -> dict[int, Content]:
        """The messages in the block of a session that begins with number `first`, by number; those in `left`. Damaged:
        they are not there as they were written.
        """
        found: dict[int, Content] = {}
        for data, crc in connection.execute("SELECT records, crc FROM block WHERE id = ?", (session << SEQ | first,)):
            for kind, seq, head, payload, extra in batches.decode_block(_checked(data, crc)):
                if left >> (seq - first) & 1:
                    found[seq] = (head, _payload(connection, payload) if kind == SHARED else payload, extra)
        if len(found) != left.bit_count():
            raise Damaged(_DAMAGE)
        return found

    def count(self, connection: Connection) -> int:
        """How many messages there are that are not done."""
        self.index(connection)
        return sum(block.left.bit_count() for blocks in self._sessions.values() for block in blocks)

    def index(self, connection: Connection) -> None:
        """Find out which blocks there are, and what is left in them."""
        self.rolled_back()
        self._sessions = {}
        self._contents = {}
        self.fresh = []
        ((self._next,),) = connection.execute("SELECT ifnull(max(id), 0) + 1 FROM content")
        self._marks = {}
        for key, last, bits in connection.execute("SELECT id, last, bits FROM mark"):
            self._marks.setdefault(key >> SEQ, []).append((key & _MASK, last, bits))
        shares = self._next > 1
        for key, last, there in connection.execute("SELECT id, last, there FROM block ORDER BY id"):
            session, first = key >> SEQ, key & _MASK
            left = _left(first, last, there) & ~self._marked(session, first, last)[0]
            contents: dict[int, None] = {}
            if shares:
                for data, crc in connection.execute("SELECT records, crc FROM block WHERE id = ?", (key,)):
                    for kind, _, _, payload, _ in batches.outlines(_checked(data, crc)):
                        if kind == SHARED:
                            contents[int.from_bytes(payload[:8], "big")] = None
                for number in contents:
                    self._contents[number] = self._contents.get(number, 0) + 1
            self._sessions.setdefault(session, []).append(Block(first, last, left, tuple(contents)))

    def _marked(self, session: int, first: int, last: int) -> tuple[int, int, int]:
        """Of the messages in a block, those that are done, that were sent and may expire, and that are released."""
        done = sent = owned = 0
        for low, high, bits in self._marks.get(session, ()):
            if first <= low <= last:
                mask = _bits(low - first, high - first)
                done |= mask if bits & IS_DONE else 0
                sent |= mask if bits & IS_STARTED else 0
                owned |= mask if bits & IS_RELEASED else 0
        return done, sent, owned

    def load(self, connection: Connection, keep: int) -> Iterator[tuple[int, "Loaded"]]:
        """What there is, block by block, with its session. Of a session with more than `keep` messages, those behind
        stay on the disk; 0: none does. Damaged: it is not as it was written.
        """
        self.index(connection)
        payloads: dict[bytes, bytes] = {}
        for session, blocks in self._sessions.items():
            kept = 0
            for first, last, left, _ in blocks:
                key = session << SEQ | first
                ((data, crc),) = connection.execute("SELECT records, crc FROM block WHERE id = ?", (key,))
                _checked(data, crc)
                _, sent, owned = self._marked(session, first, last)
                if keep and kept >= keep and not (sent or owned):
                    sizes = _sizes(data, first, last, left)
                    if sizes:
                        yield session, Loaded({}, set(), Waiting(first, left, sizes))
                        continue
                messages: dict[int, Content] = {}
                for kind, seq, head, payload, extra in batches.decode_block(data):
                    if left >> (seq - first) & 1:
                        if kind == SHARED:
                            payload = payloads.get(payload) or payloads.setdefault(
                                payload, _payload(connection, payload)
                            )
                        messages[seq] = (released(head) if owned >> (seq - first) & 1 else head, payload, extra)
                if len(messages) != left.bit_count():
                    raise Damaged(_DAMAGE)
                kept += len(messages)
                started = {seq for seq in messages if sent >> (seq - first) & 1} if sent else set()
                yield session, Loaded(messages, started, None)
        self._marks = {}


def _checked(data: bytes, crc: int) -> bytes:
    if crc32(data) != crc:
        raise Damaged(_DAMAGE)
    return data


def _there(first: int, last: int, left: int) -> bytes | None:
    return None if left == _bits(0, last - first) else left.to_bytes((left.bit_length() + 7) // 8, "little")


def _left(first: int, last: int, there: bytes | None) -> int:
    return _bits(0, last - first) if there is None else int.from_bytes(there, "little")


def _payload(connection: Connection, reference: bytes) -> bytes:
    number = int.from_bytes(reference[:8], "big")
    for (payload,) in connection.execute("SELECT payload FROM content WHERE id = ?", (number,)):
        if len(payload) == int.from_bytes(reference[8:], "big"):
            return bytes(payload)
    raise Damaged("the content of a queued message is not there")


def _sizes(data: bytes, first: int, last: int, left: int) -> list[int]:
    """Of the messages in a block that are left: their sizes, by number; empty: one of them has more to it than topic
    and payload.
    """
    sizes = [0] * (last - first + 1)
    for kind, seq, size, payload, extra in batches.outlines(data):
        if left >> (seq - first) & 1:
            if extra:
                return []
            sizes[seq - first] = size + (int.from_bytes(payload[8:], "big") - 12 if kind == SHARED else 0)
    return sizes


def _pieces(messages: list[Message]) -> Iterator[list[Message]]:
    """Messages of one session, in order, in pieces that are a block each."""
    piece: list[Message] = []
    size = first = 0
    for message in messages:
        size += len(message[2]) + len(message[3]) + len(message[4])
        if piece and (size > BLOCK_MAX or message[0] - first >= SPAN_MAX):
            yield piece
            piece = []
            size = len(message[2]) + len(message[3]) + len(message[4])
        if not piece:
            first = message[0]
        piece.append(message)
    if piece:
        yield piece


def _plain_pieces(messages: list[Content]) -> Iterator[list[Content]]:
    """The same."""
    ends = list(accumulate([len(head) + len(payload) + len(extra) for head, payload, extra in messages]))
    at = before = 0
    while at < len(messages):
        until = min(max(at + 1, bisect_right(ends, before + BLOCK_MAX)), at + SPAN_MAX)
        yield messages[at:until]
        at, before = until, ends[until - 1]


def take_over(connection: Connection, blocks: Blocks) -> None:
    """Put the messages of an earlier release, a row for each, into blocks: some at a time, since a file that is more
    than half full has no room for all of them twice.
    """
    rows = _first_rows(connection)
    if rows:
        blocks.index(connection)
    while rows:
        connection.execute("BEGIN IMMEDIATE")
        blocks.write(connection, rows)
        connection.execute("DELETE FROM outbound WHERE id <= ?", (rows[-1][0],))
        connection.execute("COMMIT")
        blocks.committed()
        rows = _first_rows(connection)


def _first_rows(connection: Connection) -> list[Message]:
    rows: list[Message] = []
    size = 0
    for row in connection.execute("SELECT id, released, head, payload, extra FROM outbound ORDER BY id"):
        rows.append(row)
        size += len(row[2]) + len(row[3]) + len(row[4])
        if size >= TAKEN_OVER_AT_ONCE:
            break
    return rows


def mend(connection: Connection) -> list[str]:
    """Drop blocks that are not as they were written, messages whose content is lost, and contents that no message has;
    how many messages and blocks, in words.
    """
    lost = []
    damaged = 0
    for key, data, crc in list(connection.execute("SELECT id, records, crc FROM block")):
        if crc32(data) != crc:
            damaged += 1
            connection.execute("DELETE FROM block WHERE id = ?", (key,))
    if damaged:
        lost.append(f"{damaged} blocks of queued messages are lost")
    orphans = 0
    contents = {number for (number,) in connection.execute("SELECT id FROM content")}
    used: set[int] = set()
    for key, data in list(connection.execute("SELECT id, records FROM block")):
        there = list(batches.decode_block(data))
        shared = {int.from_bytes(payload[:8], "big") for kind, _, _, payload, _ in there if kind == SHARED}
        used |= shared
        if shared <= contents:
            continue
        whole = [record for record in there if record[0] != SHARED or int.from_bytes(record[3][:8], "big") in contents]
        orphans += len(there) - len(whole)
        if whole:
            data = batches.encode(whole)
            first, last = key & _MASK, whole[-1][1]  # it begins where it began: marks are found by that
            left = sum(1 << (record[1] - first) for record in whole)
            row = (last, _there(first, last, left), crc32(data), data, key)
            connection.execute("UPDATE block SET last = ?, there = ?, crc = ?, records = ? WHERE id = ?", row)
        else:
            connection.execute("DELETE FROM block WHERE id = ?", (key,))
    connection.executemany("DELETE FROM content WHERE id = ?", [(number,) for number in contents - used])
    if orphans:
        lost.append(f"{orphans} queued messages have lost their content")
    return lost
