"""A flash whose power is cut, for scripts on MicroPython and CPython; and, for those on MicroPython's own VfsLfs2, all
cuts of what is done in a file system:

    cuts = every_cut(prepare, act, look)

`prepare` and `act` work in /flash. What `act` asks of the device is recorded once; then each operation is cut: before
it, and torn. After each cut the file system is mounted, and `look` says what it finds, or raises. `every_cut` returns a
dict of what was found and how often, the states before and after it included.
"""

import os

BLOCK = 4096
STRIDE = 97  # bytes from one place where a program is torn to the next, beside its first and last
NOISE = bytes([i * i % 257 % 256 for i in range(BLOCK)])  # what an erase may leave that is cut


class Flash:
    """NOR flash: programs clear bits of what is erased, erases set a block's. `image` is changed in place. Keeps a list
    of what it did if told to.
    """

    def __init__(self, image):
        self.image = image
        self.erases = 0
        self.log = None

    def readblocks(self, block, buf, offset=0):
        at = block * BLOCK + offset
        buf[:] = memoryview(self.image)[at : at + len(buf)]

    def writeblocks(self, block, buf, offset=None):
        if offset is None:  # as a driver without offsets
            self.erase(block)
            offset = 0
        assert offset + len(buf) <= BLOCK
        at = block * BLOCK + offset
        old = self.image[at : at + len(buf)]
        if old != b"\xff" * len(old):
            for i in range(len(old)):
                assert not buf[i] & ~old[i], "programmed over dirty bytes"
        self.program(at, bytes(buf))

    def ioctl(self, op, arg):
        if op == 4:
            return len(self.image) // BLOCK
        if op == 5:
            return BLOCK
        if op == 6:
            self.erase(arg)
        return 0

    def program(self, at, data):
        if self.log is not None:
            self.log.append((at, data))
        self.image[at : at + len(data)] = data

    def erase(self, block):
        if self.log is not None:
            self.log.append((block * BLOCK, None))
        self.erases += 1
        self.image[block * BLOCK : (block + 1) * BLOCK] = b"\xff" * BLOCK


def torn(image, operation, stride=STRIDE):
    """The images that a cut in this operation may leave; the first is the one before it."""
    yield image
    at, data = operation
    if data is None:
        for size in (1, BLOCK // 2, BLOCK - 1):
            yield image[:at] + b"\xff" * size + image[at + size :]
        yield image[: at + 1] + b"\xff" * (BLOCK - 1) + image[at + BLOCK :]
        yield image[:at] + NOISE + image[at + BLOCK :]
    else:
        sizes = list(range(stride, len(data), stride))
        for size in (1, len(data) - 1):
            if 0 < size < len(data) and size not in sizes:
                sizes.append(size)
        for size in sizes:
            yield image[:at] + data[:size] + image[at + size :]


def perform(image, operation):
    at, data = operation
    data = b"\xff" * BLOCK if data is None else data
    return image[:at] + data + image[at + len(data) :]


def mounted(image, work):
    """What `work` returns with this image below /flash."""
    os.mount(os.VfsLfs2(Flash(bytearray(image))), "/flash")
    try:
        return work()
    finally:
        os.umount("/flash")


def every_cut(prepare, act, look, blocks=24):
    flash = Flash(bytearray(blocks * BLOCK))
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
