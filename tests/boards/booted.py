"""A board's flash, started by the real interpreter: its file system is mounted as "/" by MicroPython's own VfsLfs2,
then boot.py and main.py run from it, as on a board; standard input and output are the UART on the USB socket.
"""

# A block device over a file `b`, of which the file system has `size` bytes from `begin` on. Bits are only cleared
# between two erasures, as in a flash.
FLASH = """
class Flash:
    def __init__(self, b, begin, size):
        self.b, self.begin, self.size = b, begin, size

    def readblocks(self, n, buf, off=0):
        self.b.seek(self.begin + n * 4096 + off)
        self.b.readinto(buf)

    def writeblocks(self, n, buf, off=None):
        if off is None:
            self.ioctl(6, n)
            off = 0
        self.b.seek(self.begin + n * 4096 + off)
        self.b.write(buf)

    def ioctl(self, op, arg):
        if op == 3:
            self.b.flush()
        elif op == 4:
            return self.size // 4096
        elif op == 5:
            return 4096
        elif op == 6:
            self.b.seek(self.begin + arg * 4096)
            self.b.write(b"\\xff" * 4096)
            return 0
"""
