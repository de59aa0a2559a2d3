"""The two ways of a connection of the simulated network, and what can happen to them.

A way holds what the sender's kernel has taken, in order: pieces of bytes, then perhaps an end (FIN) or a reset (RST).
They arrive in order, each after the latency. What has arrived waits in the receiver's kernel until its program reads;
so much may wait, and no more. A kernel works without its process: it takes, keeps and acknowledges bytes while the
process is busy, and closes the connection when it was killed.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..machine import Machine
from ..timeline import Timeline

APART = (1_000, 500_000)  # ns between pieces that were written at once
ENDS = ("reset", "unread", "close", "silence")  # how a connection can be cut
UNREAD = "unread"  # what has arrived and was not read is lost
FIN = "fin"  # the other end sends nothing more
RST = "reset"  # the connection is no more


@dataclass(slots=True)
class Conditions:
    """How bad a network is. Times in nanoseconds, from and to; probabilities from 0 to 1.

    latency     of each piece, in one direction
    split       probability that what is written at once arrives in several pieces
    stall       probability for each piece to be held up (a lost packet that TCP sends again), and all behind it
    stall_ns    for how long
    refuse      probability that an attempt to connect is refused
    vanish      probability that an attempt to connect is never answered
    window      bytes in one direction that were not read yet, beyond which the sender's kernel takes no more
    """

    latency: tuple[int, int] = (100_000, 2_000_000)
    split: float = 0.1
    stall: float = 0.0
    stall_ns: tuple[int, int] = (200_000_000, 3_000_000_000)
    refuse: float = 0.0
    vanish: float = 0.0
    window: int = 65536


class End(Protocol):
    """What is at an end of a way: the kernel's socket and the program's transport (transports.py)."""

    process: Machine
    os_closed: bool
    gone: bool
    poked: bool
    waits_for_room: bool

    @property
    def is_over(self) -> bool: ...
    def read_ready(self) -> None: ...
    def room(self) -> None: ...


class Way:
    """One direction of a connection. Counters in bytes: `submitted` by the program, `sent` (taken by its kernel),
    `arrived` in the other kernel, `read` by the other program.
    """

    __slots__ = (
        "_arrivals", "_conditions", "_cut", "_frozen", "_last", "_was_reset", "_world", "arrived", "broken",
        "connection", "ended", "inbox", "is_open", "name", "read", "sent", "sink", "source", "submitted",
    )  # fmt: skip

    def __init__(self, connection: "Ways", name: str, conditions: Conditions) -> None:
        self.connection = connection
        self.name = name
        self.source: End
        self.sink: End
        self.submitted = self.sent = self.arrived = self.read = 0
        self.inbox = bytearray()  # in the receiver's kernel
        self.is_open = True  # the sender's end; False after FIN and RST
        self.broken = False  # whatever is put in vanishes
        self.ended = ""  # behind the bytes, as the receiver's kernel knows: "", FIN or RST
        self._world = connection.world
        self._conditions = conditions
        self._arrivals: deque[tuple[int, bytes | str]] = deque()
        self._last = 0
        self._frozen = False
        self._was_reset = False
        self._cut: tuple[int, str, Callable[[], object] | None] | None = None

    def cut_at(self, offset: int, how: str = "reset", then: Callable[[], object] | None = None) -> None:
        """Cut the connection when so many bytes of this way have been sent: none beyond them gets through. `how` as
        Connection.cut, or "none"; `then` is called at that moment, in the sender's place (it may kill a process).
        """
        if how not in ENDS and how != "none":
            raise ValueError(f"a cut with {how!r}: it is one of {', '.join(ENDS)}, or none")
        self._cut = (max(offset, self.sent), how, then)

    # -- the sender's kernel

    def send(self, data: bytes) -> int:
        """How many bytes of `data` the kernel takes."""
        room = self._conditions.window - (self.sent - self.read)
        if room <= 0:
            return 0
        if len(data) > room:
            data = data[:room]
        cut = self._cut
        if cut is not None and self.sent + len(data) >= cut[0]:
            self._cut = None
            taken = cut[0] - self.sent
            if taken:
                self._put(data[:taken])
            if cut[1] != "none":
                self.sent += len(data)
                self.connection.cut(cut[1], self)
                taken = len(data)
            else:
                self.sent += taken
            if cut[2]:
                self._world.ask(cut[2])
            return taken + self.send(data[taken:]) if taken < len(data) else taken
        self.sent += len(data)
        self._put(data)
        return len(data)

    def _put(self, data: bytes) -> None:
        """Bytes go on their way, in one piece or several."""
        if self.broken:
            return
        world = self._world
        conditions = self._conditions
        size = len(data)
        if conditions.split and size > 1 and world.random.random() < conditions.split:
            at = 0
            while at < size:
                # A single byte, some, or all that is left: the places where a reader's mistakes show.
                drawn = world.random.random()
                step = 1 if drawn < 0.3 else size - at if drawn > 0.7 else world.draw(1, size - at)
                self._leave(data[at : at + step], world.draw(*APART) if at else 0)
                at += step
        else:
            self._leave(data)

    def _leave(self, item: bytes | str, apart: int = 0) -> None:
        world = self._world
        conditions = self._conditions
        at = world.now + world.ahead + world.draw(*conditions.latency)
        if conditions.stall and world.random.random() < conditions.stall:
            at += world.draw(*conditions.stall_ns)
        if at < self._last + apart:
            at = self._last + apart
        self._last = at
        self._arrivals.append((at, item))
        if not self._frozen:
            world.at(at, self._arrive)

    def end(self, what: str) -> None:
        """FIN or RST follows; after FIN, RST may."""
        if self.is_open or (what == RST and not self._was_reset):
            self.is_open = False
            self._was_reset = what == RST
            if not self.broken:
                self._leave(what)

    # -- the wire

    def freeze(self) -> None:
        self._frozen = True

    def thaw(self) -> None:
        if self._frozen:
            self._frozen = False
            world = self._world
            waiting, self._arrivals = self._arrivals, deque()
            for at, item in waiting:  # TCP sends again what was not acknowledged
                at = self._last = max(at, world.now + world.draw(*self._conditions.latency), self._last)
                self._arrivals.append((at, item))
                world.at(at, self._arrive)

    def drop(self) -> None:
        """What is under way is lost, and all that follows."""
        self.broken = True
        self._arrivals.clear()

    # -- the receiver's kernel

    def _arrive(self) -> None:
        if self._frozen:
            return
        world = self._world
        arrivals = self._arrivals
        something = False
        while arrivals and arrivals[0][0] <= world.now:
            item = arrivals.popleft()[1]
            if self.sink.gone:
                self.sink.poked = True
                continue
            if self.sink.os_closed:
                if isinstance(item, bytes):  # the kernel of a socket that is closed answers bytes with RST
                    self.connection.other(self).end(RST)
                continue
            if item is UNREAD:
                self.inbox.clear()
                continue
            something = True
            if isinstance(item, bytes):
                self.arrived += len(item)
                self.inbox += item
                world.note(self.name, "arrive", str(len(item)))
            else:
                world.note(self.name, item)
                self.ended = item
                if item == RST:
                    self.connection.other(self).reset_by_peer()
        if something:
            self.sink.process.loop.enter(self.sink.read_ready)

    def reset_by_peer(self) -> None:
        """The other end has reset the connection: what is in this way is of no use."""
        self.is_open = False
        if not self.broken:
            self.drop()

    def took(self, size: int) -> None:
        """The program has read `size` bytes: there is room for so many again, and the sender hears of it."""
        was_full = self.sent - self.read >= self._conditions.window
        self.read += size
        if (was_full or self.source.waits_for_room) and not self.broken:
            world = self._world
            world.at(world.now + world.ahead + world.draw(*self._conditions.latency), self.source.room)


class Ways:
    """Both ways of a connection, without its ends: `up` from who connected to who listened, `down` back.

    `name` is "CLIENT:NUMBER-SERVER:PORT". `hosts`: both names. `written`: is told what a program writes, before the
    kernel takes it.
    """

    def __init__(
        self,
        world: Timeline,
        name: str,
        hosts: tuple[str, str],
        conditions: Conditions,
        written: Callable[[Way, bytes], object],
    ) -> None:
        self.world = world
        self.name = name
        self.hosts = hosts
        self.written = written
        self.up = Way(self, name + " up", conditions)
        self.down = Way(self, name + " down", conditions)

    def other(self, way: Way) -> Way:
        return self.down if way is self.up else self.up

    def cut(self, how: str = "reset", before: Way | None = None) -> None:
        """End the connection from outside, now. What is under way may be lost, except in the way `before`.

        how     reset: both ends are told (RST), after what has been sent. unread: as reset, and what has arrived and
                was not read is lost. close: both get an orderly end (FIN), as from a proxy. silence: nobody is told.
        """
        world = self.world
        world.note(self.name, "cut", how)
        for way in (self.up, self.down):
            if way.broken:
                continue
            if way is not before and (how == "silence" or world.random.random() < 0.5):
                way._arrivals.clear()
            if how == "unread":
                way._leave(UNREAD)
            if how != "silence":
                way._leave(FIN if how == "close" else RST)
            way.broken = True

    def freeze(self) -> None:
        """Nothing gets through, until `thaw`."""
        self.up.freeze()
        self.down.freeze()

    def thaw(self) -> None:
        self.up.thaw()
        self.down.thaw()
