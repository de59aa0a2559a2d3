"""Lives of a board: one after the other, in one interpreter, until what is asked for has happened."""

import builtins
import gc
import os
import sys

from . import parts
from .broker import Broker, Connection
from .flash import BLOCK, Flash, Power, PowerCut

BLOCKS = 128  # of a board's file system
SAID_MAX = 25  # lines
kept = {"__main__"}  # modules that are not the board's


class End(BaseException):
    """What was waited for has happened, or the time is over."""


class World:
    """All that there is, once in an interpreter, since modules of the board are bound to it; `begin` makes it new.

    `image`: the board's file system; `ring`: the bytes of a raw partition, and its label.
    """

    def __init__(self):
        self.image = bytearray(BLOCKS * BLOCK)
        self.begin(b"")
        parts.put_in_place(self)
        builtins.print, self.print = self.say, print
        builtins.open, self.real_open = self.opened, open

    def begin(self, image, ring=None, ring_label="mqttlite"):
        """Anew: another board, at another broker."""
        self.image[: len(image)] = image
        self.ring_image = ring
        self.ring = None
        self.ring_label = ring_label
        self.broker = Broker()
        self.network = "there"  # or "refuses", "silent"
        self.now = 1000  # ms
        self.power = Power()
        self.ticks_begin = 0
        self.until = 0
        self.is_done = lambda: False
        self.events = []  # (time, number, function)
        self._number = 0
        self.lives = 0
        self.powered = 0
        self.cause = parts.PWRON
        self.clock_set = None
        self.sleep_memory = b""
        self.watchdog_ms = self.fed = 0
        self.sockets = []
        self.console = b""  # what has arrived on the USB socket
        self.chance = 1
        self.accepted = []  # (topic, payload, QoS) that publish has returned for
        self.handled = []  # commands that the application was given, and behind which operation of the flash
        self.at_cut = []  # those of them, at the last cut, behind the same operation as the last one
        self.causes = []  # how each life ended
        self.said = []
        self.files = []

    def say(self, *words, **_):
        """In the place of `print`: the last lines are kept."""
        self.said.append(" ".join([str(word) for word in words]))
        del self.said[:-SAID_MAX]

    def opened(self, *arguments):
        """In the place of `open`: what a life leaves open is closed behind it, not by a finaliser at any time."""
        file = self.real_open(*arguments)
        self.files.append(file)
        del self.files[8:-16]  # those between are closed
        return file

    # -- time

    def later(self, delay_ms, function):
        """Call it after so many ms of virtual time."""
        self._number += 1
        self.events.append((self.now + delay_ms, self._number, function))

    def _past(self):
        """The time that the flash has taken."""
        self.now += self.power.took_ms
        self.power.took_ms = 0

    def wait(self, ms, is_over=None):
        """Let time pass, until it is over or, with -1, for ever."""
        self._past()
        end = self.now + ms if ms >= 0 else None
        while True:
            self.power.check()
            if self.now >= self.until or self.is_done():
                self.power.off(End())
            if self.watchdog_ms and self.now - self.fed > self.watchdog_ms:
                self.cause = parts.WDT
                self.power.off(parts.Reset())
            if is_over and is_over():
                return
            event = min(self.events) if self.events else None
            limit = self.until if end is None else min(end, self.until)
            if self.watchdog_ms:
                limit = min(limit, self.fed + self.watchdog_ms + 1)
            if event and event[0] <= limit:
                self.now = max(self.now, event[0])
                self.events.remove(event)
                event[2]()
                continue
            self.now = max(self.now, limit)
            if end is not None and self.now >= end:
                return

    # -- lives

    def broker_connection(self, send, close):
        return Connection(self.broker, send, close)

    def live(self, power, until, is_done=None):
        """One life, from power-on or reset; how it ended: "cut", "end", "reset", "sleep"."""
        import asyncio

        self.power = power
        self.until = until
        self.is_done = is_done or (lambda: False)
        self.lives += 1
        self.watchdog_ms = 0
        # the other end of what was connected learns of it when it is told something, or by the next CONNECT
        self.sockets = []
        self.console = b""
        for name in list(sys.modules):
            if name not in kept and name.split(".")[0] not in ("asyncio", __name__.split(".")[0]):
                del sys.modules[name]
        sys.path[:] = ["", ".frozen", "/lib"]
        gc.collect()
        asyncio.new_event_loop()
        self.ring = Flash(self.ring_image, power) if self.ring_image is not None else None
        ended = "end"
        try:
            os.mount(os.VfsLfs2(Flash(self.image, power)), "/")
            os.chdir("/")
            for file in ("boot.py", "main.py"):
                with open(file) as source:
                    code = source.read()
                exec(code, {"__name__": "__main__"})
                gc.threshold(-1)  # what boot.py wants is for heaps of a hundredth of this one
            self.causes.append("the program has ended")
        except PowerCut:
            ended = "cut"
        except End:
            pass
        except parts.Reset:
            ended = "reset"
        except parts.Sleep as sleep:
            ended = "sleep"
            self.now += sleep.args[0]
        if isinstance(power.end, PowerCut) and not power.is_on:
            ended = "cut"
        power.is_on = False  # what is left of this life has no power
        for file in self.files:
            try:
                file.close()
            except OSError:
                pass
        self.files = []
        try:
            os.umount("/")
        except OSError:
            pass
        if ended == "cut":
            last = self.handled[-1][1] if self.handled else None
            self.at_cut = sorted([n for n, write in self.handled if write == last])
            self.cause = parts.PWRON
            self.clock_set = None
            self.sleep_memory = b""
            self.now += 500
            self.powered = self.now
        elif ended == "sleep":
            self.cause = parts.DEEPSLEEP
        elif ended == "reset" and self.cause != parts.WDT:
            self.cause = parts.HARD
        return ended

    def run(self, cuts=(), until=0, is_done=None, lives_max=40):
        """Lives until `is_done` or the time `until`. `cuts`: (operation, how torn), each counted from the one before
        it on, over all lives between. The number of operations in all.
        """
        cuts = list(cuts)
        total = count = 0
        for _ in range(lives_max):
            power = Power(cuts[0][0] - count, cuts[0][1]) if cuts else Power()
            ended = self.live(power, until, is_done)
            self.causes.append(ended)
            total += power.count
            count += power.count
            if ended == "cut":
                cuts.pop(0)
                count = 0
            elif ended == "end":
                return total
        raise AssertionError("it has not come to an end in %d lives: %s" % (lives_max, self.causes))


def files_in(folder):
    """The files below a folder of the computer, by their place in it."""
    found = {}
    for name, kind, *_ in os.ilistdir(folder):
        if kind == 0x4000:
            found.update({name + "/" + place: data for place, data in files_in(folder + "/" + name).items()})
        else:
            with open(folder + "/" + name, "rb") as file:
                found[name] = file.read()
    return found


def leave_computer():
    """From now on there are no files of the computer; what is needed of them is loaded before."""
    import asyncio

    kept.update(sys.modules)
    for name in ("Event", "Lock", "StreamReader", "gather", "open_connection", "wait_for", "ThreadSafeFlag"):
        getattr(asyncio, name)
    os.umount("/")


def made_image(files):
    """A file system with these files."""
    image = bytearray(b"\xff" * (BLOCKS * BLOCK))
    flash = Flash(image, Power())
    os.VfsLfs2.mkfs(flash)
    os.mount(os.VfsLfs2(flash), "/")
    for place, data in files.items():
        folder = ""
        for part in place.split("/")[:-1]:
            folder += "/" + part
            try:
                os.mkdir(folder)
            except OSError:
                pass
        with open("/" + place, "wb") as file:
            file.write(data)
    os.umount("/")
    return image


the_world = World()
