"""Updates as data: what a board is sent for a release, signed for this device alone. mqttlite_board/blocks.py reads it.

A manifest is an HMAC and a text that names device, number, release, and the hash of a *list*; the list names files by
size and hash. List (item 0) and files (1, 2, …) go over in blocks, each with an HMAC of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256

from mqttlite_board.blocks import BLOCK_MAX, BLOCK_MIN, PATH_MAX
from mqttlite_board.signing import hmac

BLOCK_SIZE = 1024  # bytes; a board keeps a few of them in memory
STARTS = 3  # of a trial
WITHIN_S = 600  # a start of a trial may take until a message is confirmed
BLOCKS_MAX = 0xFFFF  # of a file: their number has two bytes
IMAGE = "image"  # the name of the only file of an image


@dataclass(frozen=True)
class Release:
    """What is to run. `kind`: "files", those of a half, by place; or "image", the whole of MicroPython."""

    name: str
    files: dict[str, bytes] = field(repr=False)
    kind: str = "files"

    def __post_init__(self) -> None:
        if not self.name or not self.name.isprintable():
            raise ValueError(f"a release needs a name of printable characters; {self.name!r} is none")
        if self.kind == IMAGE and list(self.files) != [IMAGE]:
            raise ValueError("an image is one file")
        for place in self.files:
            if not is_place(place):
                raise ValueError(f"'{place}' cannot be a file of a board: relative, at most {PATH_MAX} characters")

    def listing(self) -> bytes:
        """The list: size, hash and place of each file."""
        lines = [f"{len(data)} {sha256(data).hexdigest()} {place}\n" for place, data in sorted(self.files.items())]
        return "".join(lines).encode()


def is_place(place: str) -> bool:
    """Whether a file of a half may have this name."""
    parts = place.split("/")
    return len(place) <= PATH_MAX and "" not in parts and ".." not in parts and place not in ("part", "release")


@dataclass(frozen=True)
class Update:
    """A release for one device. `count`: larger than that of every update before; `key`: the device's."""

    release: Release
    device: str
    key: bytes = field(repr=False)
    count: int
    block: int = BLOCK_SIZE
    starts: int = STARTS
    within_s: int = WITHIN_S

    def __post_init__(self) -> None:
        if not BLOCK_MIN <= self.block <= BLOCK_MAX:
            raise ValueError(f"blocks have {BLOCK_MIN} to {BLOCK_MAX} bytes, not {self.block}")
        if self.starts < 1 or self.within_s < 1:
            raise ValueError(f"a trial has at least one start of a second, not {self.starts} of {self.within_s}")
        for place, data in self.release.files.items():
            if len(data) > BLOCKS_MAX * self.block:
                raise ValueError(f"'{place}' has {len(data):,} bytes, more than {BLOCKS_MAX:,} blocks of {self.block}")

    @property
    def manifest(self) -> bytes:
        """What the device is sent first. The same for the same update."""
        listing = self.release.listing()
        text = (
            f"mqttlite update 1\nname {self.device}\ncount {self.count}\nrelease {self.release.name}\n"
            f"kind {self.release.kind}\nblock {self.block}\nlist {len(listing)} {sha256(listing).hexdigest()}\n"
            f"starts {self.starts}\nwithin {self.within_s}"
        ).encode()
        return hmac(hmac(self.key, b"update"), text) + text

    @property
    def id(self) -> bytes:
        """Which update this is: part of each block and of each want."""
        return self.manifest[:8]

    def items(self) -> list[bytes]:
        """The list and the files, by number."""
        return [self.release.listing(), *(data for _, data in sorted(self.release.files.items()))]

    def blocks(self) -> "Blocks":
        """What to send when it is asked for."""
        return Blocks(self)


class Blocks:
    """The blocks of an update."""

    def __init__(self, update: Update) -> None:
        self._items = update.items()
        self._id = update.id
        self._key = hmac(update.key, b"block")
        self._size = update.block

    def get(self, item: int, index: int) -> bytes | None:
        """A block as it is sent; None: there is no such block."""
        if item >= len(self._items):
            return None
        data = self._items[item][index * self._size : (index + 1) * self._size]
        if not data:
            return None
        signed = self._id + item.to_bytes(2, "big") + index.to_bytes(2, "big") + data
        return hmac(self._key, signed)[:8] + signed


@dataclass(frozen=True)
class Want:
    """What a device asks for. `id`: of the update; `left`: blocks that are missing; `blocks`: item and index."""

    id: bytes
    left: int
    blocks: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, payload: bytes) -> "Want":
        """From a message. ValueError: it makes no sense."""
        if len(payload) < 12:
            raise ValueError("too short for a want")
        return cls(payload[:8], int.from_bytes(payload[8:12], "big"), tuple(_asked(payload)))


def _asked(payload: bytes) -> Iterator[tuple[int, int]]:
    at = 12
    while at < len(payload):
        head = payload[at : at + 5]
        if len(head) < 5:
            raise ValueError("a want that ends in the middle")
        item, first, size = int.from_bytes(head[:2], "big"), int.from_bytes(head[2:4], "big"), head[4]
        for bit in range(8 * size):
            if at + 5 + bit // 8 >= len(payload):
                raise ValueError("a want that ends in the middle")
            if payload[at + 5 + bit // 8] >> bit % 8 & 1:
                yield item, first + bit
        at += 5 + size
