"""An update whose power is cut at every device operation, on the interpreter's own VfsLfs2: starter and download are
the board's own, what the network would do is a loop.

    update_cuts.py ENDS STRIDE

ENDS says how the new half is: "delivers", or "crashes" at each start. One life of it all is recorded: manifest, blocks,
the half that is put together, its trial, the end of that. Then each operation is cut, before it and torn, every
STRIDE-th one in all ways. After each cut the starter must choose a half that is whole, old or new; no block is asked
for again that was taken before; and going on ends as it would have ended.
"""

import os
import sys
from hashlib import sha256

import cut_flash
from cut_flash import Flash, mounted, perform, torn

from mqttlite_board import blocks
from mqttlite_board.signing import hmac

KEY = b"k" * 32
OLD = {"app.mpy": b"old application" * 30, "lib/x.mpy": b"the same" * 90, "lib/y/z.mpy": b"old"}
NEW = {"app.mpy": b"new application" * 40, "lib/x.mpy": b"the same" * 90, "lib/n/n.mpy": b"new" * 200, "empty.py": b""}
BLOCK = 256
FEW = 3


def make_update(count):
    """A manifest, and all blocks of its update by item and index."""
    names = sorted(NEW)
    lines = [
        b"%d %s %s\n" % (len(NEW[name]), sha256(NEW[name]).digest().hex().encode(), name.encode()) for name in names
    ]
    listing = b"".join(lines)
    text = b"mqttlite update 1\nname one\ncount %d\nrelease new\nkind files\nblock %d\nlist %d %s\nstarts 4\nwithin 60"
    text = text % (count, BLOCK, len(listing), sha256(listing).digest().hex().encode())
    manifest = hmac(hmac(KEY, b"update"), text) + text
    found = {}
    for item, data in enumerate([listing] + [NEW[name] for name in names]):
        for index in range((len(data) + BLOCK - 1) // BLOCK):
            rest = manifest[:8] + item.to_bytes(2, "big") + index.to_bytes(2, "big")
            rest += data[index * BLOCK : (index + 1) * BLOCK]
            found[item, index] = hmac(hmac(KEY, b"block"), rest)[:8] + rest
    return manifest, found


MANIFEST, BLOCKS = make_update(7)


def asked(want):
    """The blocks that a want names."""
    at = 12
    while at < len(want):
        item, first, size = (
            int.from_bytes(want[at : at + 2], "big"),
            int.from_bytes(want[at + 2 : at + 4], "big"),
            want[at + 4],
        )
        for bit in range(8 * size):
            if want[at + 5 + bit // 8] >> bit % 8 & 1:
                yield item, first + bit
        at += 5 + size


class Board:
    """One start after the other. `marks`: is told how many blocks have been taken, and when an update was finished."""

    def __init__(self, log=None):
        self.log = log
        self.taken = 0

    def begin(self):
        """A start, up to where the program is imported."""
        sys.modules.pop("start", None)
        import start

        start.begin()
        self.start = start
        return start.half

    def live(self, ends):
        """One start, to the restart; whether all is over."""
        half = self.begin()
        start = self.start
        is_new = blocks.digest("/flash/" + half + "/app.mpy") == sha256(NEW["app.mpy"]).digest()
        if is_new and start.is_trial:
            if ends == "delivers":
                assert start.good()
            else:
                return False
        has_begun = start.exists("/flash/update/manifest")
        if not has_begun and start.record.get("count") == 7:
            return True
        download = blocks.Download(start, MANIFEST, KEY, blocks.fields_of(MANIFEST, KEY, "one"))
        if download.is_done():
            download.clear()
            return not start.record.get("trial")
        if not has_begun:
            download.accept()
        download.begin()
        self.prepare(download)
        while download.left:
            for item, index in list(asked(download.wanted(FEW))):
                had = download.have[0] is None
                assert download.take(BLOCKS[item, index])
                self.taken += 1
                if self.log is not None:
                    self.log.append((-1, self.taken))
                if not had and download.have[0] is None:
                    self.prepare(download)
        for item in range(1, len(download.items)):
            download.check(item)
        assert not download.left
        download.finish()
        if self.log is not None:
            self.log.append((-1, -1))
        return False

    def prepare(self, download):
        for item in range(1, len(download.items)):
            download.prepare(item)

    def whole(self):
        """Which version the half has that the starter chooses."""
        half = self.begin()
        for name, files in (("old", OLD), ("new", NEW)):
            if all(
                blocks.digest("/flash/" + half + "/" + place) == sha256(data).digest() for place, data in files.items()
            ):
                return name
        raise AssertionError("the half that starts is not whole")


def life(ends, log=None):
    os.chdir("/flash")
    board = Board(log)
    try:
        for _ in range(8):
            if board.live(ends):
                return board
        raise AssertionError("it does not come to an end")
    finally:
        os.chdir("/")


def look(ends):
    """What runs after a cut, how many blocks are sent then, what is there in the end."""
    os.chdir("/flash")
    first = Board().whole()
    board = life(ends)
    os.chdir("/flash")
    last = Board().whole()
    left = os.listdir("/flash/update") if "update" in os.listdir("/flash") else []
    os.chdir("/")
    assert set(left) <= {"manifest.new"}, left  # a folder may stay that the next update takes
    return first, board.taken, last


def main(ends, stride):
    flash = Flash(bytearray(40 * cut_flash.BLOCK))
    os.VfsLfs2.mkfs(flash)
    os.mount(os.VfsLfs2(flash), "/flash")
    for place, data in OLD.items():
        blocks.make_folders("/flash/a/" + place)
        with open("/flash/a/" + place, "wb") as file:
            file.write(data)
    image = bytes(flash.image)
    flash.log = log = []
    board = life(ends, log)
    flash.log = None
    os.umount("/flash")
    total = board.taken
    last = "new" if ends == "delivers" else "old"
    assert total == len([key for key in BLOCKS if key[0] != 3])  # lib/x.mpy, the third file, is there already
    found = {}
    taken = cuts = operations = 0
    is_finished = False
    for operation in log:
        if operation[0] < 0:
            is_finished = operation[1] < 0
            taken = total if is_finished else operation[1]
            continue
        operations += 1
        for number, left in enumerate(torn(image, operation)):
            if number and operations % stride:
                break
            first, more, end = mounted(left, lambda: look(ends))
            assert end == last, (first, end)
            assert more <= total - taken, "blocks that were taken are asked for again: %d of %d, %d were there" % (
                more,
                total,
                taken,
            )
            assert is_finished or first == "old" or more == 0
            found[first] = found.get(first, 0) + 1
            cuts += 1
        image = perform(image, operation)
    assert image == flash.image
    assert mounted(image, lambda: look(ends))[2] == last
    print("operations", operations, "cuts", cuts, "blocks", total, found)
    print("all done")


if hasattr(sys, "argv") and len(sys.argv) > 2:
    main(sys.argv[1], int(sys.argv[2]))
