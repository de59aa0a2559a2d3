"""An update on its way into the other half of the flash: what is there, what is missing, and where it lies meanwhile.

A manifest, signed for this device, names a list of files by its hash; the list names the files, by theirs. List and
files arrive in blocks, in any order. A block goes to the end of a file of its own item in update/, with a checksum:
littlefs rewrites a file from where it is changed, so one that is only appended to costs a block what it costs anyway,
and the bitmap of what is there is read from it after each start. An item that is complete is put together in the
other half, read back, and renamed when its hash is right; what the running half has already is copied from there. The
half has a file `part` until all of it is whole, and the starter does not look at such a half.

Whatever is cut off here goes on where it was: nothing is told by anything but the files. Both runtimes; no network, no
clock. Every function that writes may raise OSError: the flash is full, or broken.
"""

import os
from binascii import crc32, hexlify, unhexlify
from hashlib import sha256

from .signing import hmac, same

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FOLDER = "update"
MANIFEST = FOLDER + "/manifest"
MAC_SIZE = 32
BLOCK_MAX = 3072  # bytes, so that a message is not larger than what a client on a board takes
BLOCK_MIN = 64
HEAD_SIZE = 20  # of a block: eight bytes of its HMAC, eight of the manifest's, item, index
RECORD_SIZE = 8  # in front of a block on the flash: index, size, CRC-32
PATH_MAX = 100
DAMAGED_MAX = 3  # times that an item may be complete, and not what its hash says
COPY_SIZE = 512  # bytes that are copied or hashed


class Refused(Exception):
    """This update is not taken, and why."""


def fields_of(payload: bytes, key: bytes, name: str) -> "dict[str, str]":
    """What a manifest says. Refused: it is not signed for this device, or makes no sense."""
    if not key:
        raise Refused("this board has no key: set one up")
    if not same(hmac(hmac(key, b"update"), memoryview(payload)[MAC_SIZE:]), payload[:MAC_SIZE]):
        raise Refused("the signature is wrong")
    fields = {}
    for line in str(payload[MAC_SIZE:], "utf-8").split("\n"):
        word, _, value = line.partition(" ")
        fields[word] = value
    if fields.get("mqttlite") != "update 1" or fields.get("kind") not in ("files", "image"):
        raise Refused("this board's program is too old for it")
    if fields["name"] != name:
        raise Refused("it is for another device")
    if not BLOCK_MIN <= int(fields["block"]) <= BLOCK_MAX:
        raise Refused("its blocks are too large")
    return fields


def digest(path: str) -> bytes:
    """The SHA-256 of a file; nothing where there is none."""
    try:
        with open(path, "rb") as file:
            done = sha256()
            while True:
                data = file.read(COPY_SIZE)
                if not data:
                    return bytes(done.digest())
                done.update(data)
    except OSError as error:
        if error.errno != 2:
            raise
        return b""


def size_of(path: str) -> int:
    """The size of a file; -1: there is none."""
    try:
        return int(os.stat(path)[6])
    except OSError:
        return -1


def content(path: str) -> bytes:
    """What is in a small file; nothing where there is none."""
    try:
        with open(path, "rb") as file:
            data: bytes = file.read()
        return data
    except OSError:
        return b""


def remove(path: str) -> None:
    """Remove a file or a folder, which need not be there."""
    try:
        is_folder = os.stat(path)[0] & 0x4000
    except OSError:
        return
    if is_folder:
        for name in os.listdir(path):
            remove(path + "/" + name)
        os.rmdir(path)
    else:
        os.remove(path)


def make_folders(path: str) -> None:
    """Make the folders that a file lies in."""
    at = path.find("/", 1)
    while at > 0:
        try:
            os.mkdir(path[:at])
        except OSError:  # it is there; if not, opening the file fails
            pass
        at = path.find("/", at + 1)


class Download:
    """What one manifest has brought so far. `start`: the starter; `items`: (size, hash, path) of the list and then of
    each file, as soon as the list is there.
    """

    def __init__(self, start: "Any", payload: bytes, key: bytes, fields: "dict[str, str]") -> None:
        self.start = start
        self.payload = payload
        self.key = hmac(key, b"block")
        self.fields = fields
        self.count = int(fields["count"])
        self.block = int(fields["block"])
        self.folder: str = start.ROOT + FOLDER + "/"
        half: str = start.half
        self.half = "b" if half == "a" else "a"
        self.good: str = start.ROOT + (half + "/" if half else "")
        self.target: str = start.ROOT + self.half + "/"
        size, _, digest = fields["list"].partition(" ")
        self.items = [(int(size), unhexlify(digest), "")]
        self.have: "list[bytearray | None]" = [None]  # by item: a bit for each block that is there; None: all
        self.torn: "dict[int, int]" = {}  # by item: how many of its files end in a block that is not whole
        self.damaged = 0

    # -- what there is

    def begin(self) -> None:
        """After `accept`, and after each start: look for what is there. Then `prepare` each item."""
        part = self.target + "part"
        mark = self.payload[:MAC_SIZE]
        if content(part) != mark:
            make_folders(part)
            with open(part, "wb"):
                pass  # from now on nobody starts this half
            for name in os.listdir(self.target[:-1]):
                if name != "part":
                    remove(self.target + name)
            self.start.write(part, mark)
        self._look(0)
        if self.have[0] is None:
            self._load()

    def accept(self) -> None:
        """Keep the manifest: from now on its update goes on after each start."""
        remove(self.folder[:-1])
        make_folders(self.folder)
        self.start.write(self.start.ROOT + MANIFEST, self.payload)

    def prepare(self, item: int) -> None:
        """Look for an item: in the other half, in the running one, in blocks."""
        size, _, path = self.items[item]
        if size_of(self.target + path) == size:
            self.have[item] = None  # it got its name when it was whole
        elif size_of(self.good + path) == size and self._is_copied(item):
            self.have[item] = None
        else:
            self._look(item)
            if size == 0:
                self._assemble(item)

    @property
    def left(self) -> int:
        """Blocks that are missing, of what is known."""
        missing = 0
        for item in range(len(self.items)):
            bits = self.have[item]
            if bits is not None:
                count = self._blocks(item)
                missing += count - sum([bits[i >> 3] >> (i & 7) & 1 for i in range(count)])
        return missing

    def wanted(self, limit: int) -> bytes:
        """What to ask for next, at most `limit` blocks: eight bytes of the manifest's HMAC, how many are missing (four
        bytes), then for some items: number, first block (two bytes each), size of a bitmap, bitmap.
        """
        found = bytearray(self.payload[:8] + self.left.to_bytes(4, "big"))
        for item in range(len(self.items)):
            bits = self.have[item]
            if bits is None or limit <= 0:
                continue
            count = self._blocks(item)
            index = 0
            while index < count and bits[index >> 3] >> (index & 7) & 1:
                index += 1
            first = index
            wanted = bytearray()
            while index < count and limit > 0:
                at = index - first
                if at & 7 == 0:
                    wanted.append(0)
                if not bits[index >> 3] >> (index & 7) & 1:
                    wanted[at >> 3] |= 1 << (at & 7)
                    limit -= 1
                index += 1
            if wanted:
                found.extend(item.to_bytes(2, "big") + first.to_bytes(2, "big") + bytes((len(wanted),)) + wanted)
        return bytes(found)

    # -- what arrives

    def take(self, payload: bytes) -> bool:
        """A block has arrived; whether it was missing. What is damaged, forged or of another update is none."""
        view = memoryview(payload)
        if len(payload) <= HEAD_SIZE or payload[8:16] != self.payload[:8]:
            return False
        item = int.from_bytes(payload[16:18], "big")
        index = int.from_bytes(payload[18:20], "big")
        bits = self.have[item] if item < len(self.items) else None
        if bits is None or index >= self._blocks(item) or bits[index >> 3] >> (index & 7) & 1:
            return False
        data = view[HEAD_SIZE:]
        if len(data) != min(self.block, self.items[item][0] - index * self.block):
            return False
        if not same(hmac(self.key, view[8:])[:8], payload[:8]):
            return False
        self._keep(item, index, data)
        bits[index >> 3] |= 1 << (index & 7)
        if self._is_complete(item):
            self._assemble(item)
            if item == 0 and self.have[0] is None:
                self._load()
        return True

    def check(self, item: int) -> None:
        """Read a file of the other half once more; what is not as its hash says is missing again."""
        _, wanted, path = self.items[item]
        if digest(self.target + path) != wanted:
            remove(self.target + path)
            self._look(item)

    def finish(self) -> None:
        """All of it is there and checked: put the other half on trial, with the next start. Refused: it cannot be."""
        self.start.write(self.target + "release", self.fields["release"].encode())
        self.start.keep(self._trial())
        remove(self.target + "part")  # this is the moment
        self.clear()

    def _trial(self) -> "dict[str, Any]":
        record: "dict[str, Any]" = {"good": self.start.half, "trial": self.half, "starts": 0, "count": self.count}
        record["id"] = str(hexlify(self.payload[:8]), "ascii")
        record["of"] = int(self.fields.get("starts", "3"))
        record["within_s"] = int(self.fields.get("within", "600"))
        return record

    def is_done(self) -> bool:
        """Whether it was finished before this start, and only its remains are here."""
        return bool(self.start.record.get("count", 0) >= self.count) and not self.start.exists(self.target + "part")

    def give_up(self, why: str) -> None:
        """Nothing comes of this update: the running half stays alone, and there is room again."""
        self._make_room()
        record = dict(self.start.record)
        record.update({"good": self.start.half, "trial": None, "count": self.count, "tell": why})
        record["id"] = str(hexlify(self.payload[:8]), "ascii")
        self.start.keep(record)
        self.clear()

    def _make_room(self) -> None:
        remove(self.target[:-1])

    def clear(self) -> None:
        """Remove what is on its way; the manifest last but for its folder, so that it is known until then."""
        for name in os.listdir(self.folder[:-1]):
            if name != "manifest":
                remove(self.folder + name)
        remove(self.folder[:-1])

    # -- files

    def _blocks(self, item: int) -> int:
        return (self.items[item][0] + self.block - 1) // self.block

    def _is_complete(self, item: int) -> bool:
        bits = self.have[item]
        count = self._blocks(item)
        return bits is None or all(bits[i >> 3] >> (i & 7) & 1 for i in range(count))

    def _place(self, item: int) -> str:
        """Where an item is when it is whole."""
        return self.target + self.items[item][2] if item else self.folder + "list"

    def _log(self, item: int, number: int) -> str:
        return self.folder + "%d.%d" % (item, number)

    def _records(self, item: int) -> "list[tuple[int, int, int] | None]":
        """By block: in which file of an item it lies, where, its size. One that a cut has torn has a next one."""
        found: "list[tuple[int, int, int] | None]" = [None] * self._blocks(item)
        number = torn = 0
        while size_of(self._log(item, number)) >= 0:
            with open(self._log(item, number), "rb") as file:
                at = 0
                while True:
                    head = file.read(RECORD_SIZE)
                    if not head:
                        torn = number  # this one may be appended to
                        break
                    index, size = int.from_bytes(head[:2], "big"), int.from_bytes(head[2:4], "big")
                    data = file.read(size)
                    if len(data) < size or crc32(data) != int.from_bytes(head[4:8], "big") or index >= len(found):
                        torn = number + 1
                        break
                    found[index] = (number, at + RECORD_SIZE, size)
                    at += RECORD_SIZE + size
            number += 1
        self.torn[item] = torn
        return found

    def _look(self, item: int) -> None:
        """What blocks of an item there are."""
        if item == 0 and size_of(self._place(item)) == self.items[item][0]:
            self.have[0] = None
            return
        bits = bytearray((self._blocks(item) + 7) // 8)
        records = self._records(item)
        for index in range(len(records)):
            if records[index]:
                bits[index >> 3] |= 1 << (index & 7)
        self.have[item] = bits
        if records and all(records):
            self._assemble(item)

    def _keep(self, item: int, index: int, data: "memoryview") -> None:
        """A block goes to the end of what there is of its item; when this returns it is durable."""
        if item not in self.torn:
            self._records(item)
        with open(self._log(item, self.torn[item]), "ab") as file:
            file.write(index.to_bytes(2, "big") + len(data).to_bytes(2, "big") + crc32(data).to_bytes(4, "big"))
            file.write(data)

    def _assemble(self, item: int) -> None:
        """Put an item together that is complete, read it back, and let it have its name."""
        place = self._place(item)
        make_folders(place)
        records = self._records(item)
        with open(place + ".part", "wb") as new:
            for record in records:
                assert record
                number, at, size = record
                with open(self._log(item, number), "rb") as file:
                    file.seek(at)
                    new.write(file.read(size))
        if self._is_named(item, place):
            self.have[item] = None
            self._remove_logs(item)
        else:
            self._start_over(item)

    def _remove_logs(self, item: int) -> None:
        for number in range(self.torn.pop(item, 0), -1, -1):
            remove(self._log(item, number))

    def _start_over(self, item: int) -> None:
        """An item is complete, and not what its hash says: all of it is missing again."""
        self.damaged += 1
        self.have[item] = bytearray((self._blocks(item) + 7) // 8)
        self._remove_logs(item)
        if self.damaged >= DAMAGED_MAX:
            raise Refused("what arrives is not what the manifest says")

    def _is_copied(self, item: int) -> bool:
        """The running half may have a file already: whether that is so; then the other half has it, too."""
        _, wanted, path = self.items[item]
        if digest(self.good + path) != wanted:
            return False
        place = self._place(item)
        make_folders(place)
        with open(self.good + path, "rb") as old, open(place + ".part", "wb") as new:
            while True:
                data = old.read(COPY_SIZE)
                if not data:
                    break
                new.write(data)
        return self._is_named(item, place)

    def _is_named(self, item: int, place: str) -> bool:
        """Read back what was written; whether it is right, and has its name now."""
        if digest(place + ".part") == self.items[item][1]:
            os.rename(place + ".part", place)
            return True
        remove(place + ".part")
        return False

    def _load(self) -> None:
        """The list is there: these are the items."""
        del self.items[1:], self.have[1:]
        with open(self._place(0), "rb") as file:
            while True:
                line = file.readline()
                if not line:
                    break
                size, digest, path = str(line, "utf-8").rstrip("\n").split(" ", 2)
                parts = path.split("/")
                if not 0 < len(path) <= PATH_MAX or ".." in parts or "" in parts or path in ("part", "release"):
                    raise Refused("it names a file '%s'" % path)
                self.items.append((int(size), unhexlify(digest), path))
                self.have.append(bytearray((int(size) + self.block * 8 - 1) // (self.block * 8)))
