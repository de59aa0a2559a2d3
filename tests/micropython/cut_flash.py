"""A flash with littlefs whose power is cut at every device operation, for scripts on MicroPython's own VfsLfs2.

    cuts = every_cut(prepare, act, look)

`prepare` and `act` work in /flash. What `act` asks of the device is recorded once; then each operation is cut: before
it, and torn. After each cut the file system is mounted, and `look` says what it finds, or raises. `every_cut` returns a
dict of what was found and how often, the states before and after it included.
"""

import os

BLOCK = 4096
STRIDE = 97  # bytes from one place where a program is torn to the next, beside its first and last


class Flash:
    """NOR flash: programs clear bits, erases set a block's. Keeps a list of what it did if told to."""

    def __init__(self, blocks, image=None):
        self.image = bytearray(image) if image else bytearray(b"\xff" * (blocks * BLOCK))
        self.log = None

    def readblocks(self, block, buf, offset=0):
        at = block * BLOCK + offset
        buf[:] = self.image[at : at + len(buf)]

    def writeblocks(self, block, buf, offset):
        at = block * BLOCK + offset
        if self.log is not None:
            self.log.append((at, bytes(buf)))
        self.image[at : at + len(buf)] = buf

    def ioctl(self, op, arg):
        if op == 4:
            return len(self.image) // BLOCK
        if op == 5:
            return BLOCK
        if op == 6:
            if self.log is not None:
                self.log.append((arg * BLOCK, None))
            self.image[arg * BLOCK : (arg + 1) * BLOCK] = b"\xff" * BLOCK
        return 0


def torn(image, operation):
    """The images that a cut in this operation may leave; the first is the one before it."""
    yield image
    at, data = operation
    if data is None:
        for size in (1, BLOCK // 2, BLOCK - 1):
            yield image[:at] + b"\xff" * size + image[at + size :]
        yield image[:at] + bytes([i * i % 257 % 256 for i in range(BLOCK)]) + image[at + BLOCK :]
    else:
        for size in sorted(set([1, len(data) - 1] + list(range(STRIDE, len(data), STRIDE)))):
            if 0 < size < len(data):
                yield image[:at] + data[:size] + image[at + size :]


def perform(image, operation):
    at, data = operation
    data = b"\xff" * BLOCK if data is None else data
    return image[:at] + data + image[at + len(data) :]


def mounted(image, work):
    """What `work` returns with this image below /flash."""
    os.mount(os.VfsLfs2(Flash(0, image)), "/flash")
    try:
        return work()
    finally:
        os.umount("/flash")


def every_cut(prepare, act, look, blocks=24):
    flash = Flash(blocks)
    os.VfsLfs2.mkfs(flash)
    os.mount(os.VfsLfs2(flash), "/flash")
    prepare()
    image = bytes(flash.image)
    flash.log = log = []
    act()
    flash.log = None
    os.umount("/flash")
    assert log, "nothing was written"
    found = {}
    for operation in log:
        for left in torn(image, operation):
            what = mounted(left, look)
            found[what] = found.get(what, 0) + 1
        image = perform(image, operation)
    assert image == flash.image
    what = mounted(image, look)
    found[what] = found.get(what, 0) + 1
    return found
