"""Serial lines between ports of two processes: paced to their baud rate in virtual time, noisy, cut, unplugged.

    line = SerialLine(world, "device", "/dev/ttyUSB0", "gateway", "/dev/ttyACM0")
    line.noise(bit_errors=1e-4, dropped=1e-3)
    world.after(2, line.b.unplug)
    world.after(5, line.b.plug)

What a program has written waits in its kernel, leaves byte by byte, and arrives after the latency in the other kernel,
which keeps as much as its buffer holds until the program reads, and loses the rest. Programs see a port as Linux and
pyserial show it: system/serial_os.py. Times are nanoseconds of the world.
"""

from collections import deque
from collections.abc import Callable
from decimal import Context, Decimal
from itertools import count
from typing import Any, NamedTuple

from ..machine import Loop, Machine, Machines
from ..timeline import SECOND
from .noise import BITS, Noise

SEND_BUFFER = 4096  # bytes that a driver takes beyond what has left
HOST_BUFFER = 4096  # bytes that Linux keeps for a program that does not read
BOARD_BUFFER = 1024  # the same of a UART: RX_BUFFER in serial/board_port.py
RULES_NS = (1_000_000, 300_000_000)  # how long it may take until udev has given a new port its group
# What an ESP32 says before any program of ours runs.
BOOT_TEXT = b"ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
# Descriptors: no real one is so great, none of a file on the disk, and no two worlds have the same.
_numbers = count(2_000_000)
_EXACT = Context(prec=25)  # the same digits on every machine
KINDS = {0x80: "DATA", 0x90: "ACK", 0xA0: "NAK", 0xB0: "PING", 0xC0: "SYN", 0xD0: "SYN_ACK"}


class Frame(NamedTuple):
    """What a program has written at once, before it leaves. `kind`: DATA, ACK, NAK, PING, SYN, SYN_ACK; BYTES when
    it is no frame of the link. `number`: on this line, from 1. It has the bytes `start` to before `end` of its way.
    """

    kind: str
    number: int
    way: "SerialWay"
    start: int
    end: int
    data: bytes


class Fault(NamedTuple):
    """A fault at a frame. `where`: before, inside or after it; `then`: called when that byte's time has come: it may
    unplug a port, part the line, kill a process or cut its power.
    """

    where: str
    then: Callable[[], object]


class _Piece:
    """Bytes under way: the first one leaves at `start`, each takes `byte_ns`."""

    __slots__ = ("baud", "byte_ns", "data", "start")

    def __init__(self, start: int, byte_ns: int, data: bytes, baud: int) -> None:
        self.start = start
        self.byte_ns = byte_ns
        self.data = data
        self.baud = baud


class SerialWay:
    """One direction. `noise` may be assigned. Counters in bytes: `written` by the program, `arrived` at the other end
    with what noise has made of them, `lost` because of a cut. `frames`: how often something was written.
    """

    def __init__(self, line: "SerialLine", source: "SerialPort", sink: "SerialPort") -> None:
        self.line = line
        self.name = f"{source.name} to {sink.host}"
        self.source = source
        self.sink = sink
        self.noise = Noise(0)
        self.written = self.arrived = self.lost = self.frames = 0
        self._hosts = f"{source.host} to {sink.host}"
        self._world = line.world
        self._under_way: deque[_Piece] = deque()
        self._free_at = 0  # when all that was taken has left
        self._last = 0  # no earlier than this does the next piece arrive
        self._cuts: list[tuple[int, Callable[[], object]]] = []

    def cut_at(self, offset: int, then: Callable[[], object]) -> None:
        """Call `then` when so many bytes of what the program writes have left, those before now included."""
        self._cut(max(offset, self.written), then)

    def _cut(self, offset: int, then: Callable[[], object]) -> None:
        self._cuts = sorted([*self._cuts, (offset, then)], key=lambda cut: cut[0])

    def say(self, data: bytes) -> None:
        """Bytes that no program has written: noise on an idle line, or what a boot loader says."""
        self._put(data, self.line.baud_of(self.source), len(data))

    # -- the sender's kernel

    def room(self) -> int:
        """How many bytes the kernel takes now."""
        now = self._world.now + self._world.ahead
        return SEND_BUFFER - max(self._free_at - now, 0) * self.line.baud_of(self.source) // (BITS * SECOND)

    def take(self, data: bytes) -> int:
        """How many bytes of `data` the kernel takes."""
        room = self.room()
        if room <= 0:
            return 0
        line = self.line
        world = self._world
        sent = data = data[:room]
        start = self.written
        size = len(data)
        self.written += size
        self.frames += 1
        line.frames += 1
        kind = kind_of(data)
        world.note(self.name, kind, str(size))
        world.reach(f"{kind} {self._hosts}")
        if line.on_frame:
            answer = line.on_frame(Frame(kind, line.frames, self, start, start + size, data))
            if isinstance(answer, Fault):
                inside = world.random.randrange(start + 1, start + size) if size > 1 else start
                where = {"before": start, "inside": inside, "after": start + size}
                self._cut(where[answer.where], answer.then)
            elif answer is not None:
                sent = answer
        leaves = self._put(sent, line.baud_of(self.source), size)
        while self._cuts and self._cuts[0][0] <= self.written:
            (offset, then), *self._cuts = self._cuts
            world.at(leaves + (offset - start) * self._byte_ns(), then)
        return size

    def _byte_ns(self) -> int:
        return BITS * SECOND // self.line.baud_of(self.source)

    def _put(self, data: bytes, baud: int, size: int) -> int:
        """`data` takes the line for as long as `size` bytes do; when its first one leaves."""
        line = self.line
        world = self._world
        byte_ns = BITS * SECOND // baud
        start = max(self._free_at, world.now + world.ahead)
        self._free_at = start + size * byte_ns
        at = 0
        while at < len(data):
            step = len(data) - at
            if step > 1 and line.split and world.random.random() < line.split:
                step = world.draw(1, step)
            piece = _Piece(start + at * byte_ns, byte_ns, data[at : at + step], baud)
            at += step
            self._last = max(self._last, start + at * byte_ns + world.draw(*line.latency))
            self._under_way.append(piece)
            world.at(self._last, self._arrive)
        return start

    # -- the wire

    def stop(self) -> None:
        """What was written until now and has not left is lost; of the byte that is leaving, something else arrives."""
        world = self._world
        now = world.now + world.ahead
        self._cuts = []
        for piece in self._under_way:
            left, part = divmod(max(now - piece.start, 0), piece.byte_ns)
            if left < len(piece.data):
                self.lost += len(piece.data) - left
                broken = world.random.randbytes(1) if part and world.random.random() < 0.5 else b""
                piece.data = piece.data[:left] + broken
        self._free_at = min(self._free_at, now)

    def _arrive(self) -> None:
        piece = self._under_way.popleft()
        data = piece.data
        line = self.line
        if piece.start >= line.parted_at:  # what had left before was dealt with at that moment
            missed = len(data) if line.parted else max(line.joined_at - piece.start, 0) // piece.byte_ns
            self.lost += min(missed, len(data))
            data = data[missed:]
        if data:
            baud = line.baud_of(self.sink)
            if baud != piece.baud:  # the receiver finds start bits where there are none
                data = self._world.random.randbytes(max(len(data) * baud // piece.baud, 1))
            data = self.noise.apply(data)
            if data:
                self.arrived += len(data)
                self.sink.arrive(data)


class SerialPort:
    """An end of a line: a device in /dev of a process's machine. `plugged`, `received` (bytes that wait for the
    program), `file` (as it is open); counters in bytes: `overrun` (the buffer was full), `unheard` (it was not open).
    """

    def __init__(self, line: "SerialLine", host: str, path: str, buffer: int) -> None:
        self.line = line
        self.host = host
        self.path = path
        self.name = f"{host}:{path}"
        self.buffer = buffer
        self.plugged = True
        self.ready_at = 0  # who opens it before has no permission
        self.received = bytearray()
        self.file: OpenPort | None = None
        self.overrun = self.unheard = 0
        self.out: SerialWay
        self.into: SerialWay
        self._world = line.world

    def unplug(self) -> None:
        """Pull the adapter out: what has this port open gets errors, its path vanishes."""
        if self.plugged:
            self._world.note(self.name, "unplug")
            self._world.reach(f"unplug {self.host}")
            self.plugged = False
            self.out.stop()
            self.received.clear()
            if self.file:
                self.file.hang_up()
                self.file = None

    def plug(self) -> None:
        """Plug it in again. Sometimes it is there before its group is."""
        if not self.plugged:
            world = self._world
            world.note(self.name, "plug")
            self.plugged = True
            self.ready_at = world.now + (world.draw(*RULES_NS) if world.random.random() < 0.2 else 0)

    # -- the kernel

    def arrive(self, data: bytes) -> None:
        """Bytes from the line."""
        file = self.file
        if file is None:
            self.unheard += len(data)
            return
        self._world.note(self.into.name, "arrive", str(len(data)))
        room = max(self.buffer - len(self.received), 0)
        self.received += data[:room]
        if room < len(data):
            self.overrun += len(data) - room
            self._world.note(self.name, "overrun", str(len(data) - room))
            self._world.reach(f"overrun {self.host}")
        file.poll()

    def read(self, size: int) -> bytes:
        """What waits, `size` bytes at most."""
        data = bytes(self.received[:size])
        del self.received[: len(data)]
        return data

    def close(self, *, power: bool) -> None:
        """No program has it open any more. What was written still leaves, unless the machine has lost power."""
        self.file = None
        self.received.clear()
        if power:
            self.out.stop()


class OpenPort:
    """A port that a process has opened. Read and write raise OSError, as Linux does for a tty."""

    def __init__(self, port: SerialPort, process: Machine, number: int, baud: int) -> None:
        self.port = port
        self.process = process
        self.loop: Loop = process.loop
        self.number = number
        self.baud = baud
        self.hung_up = False
        self._watchers: dict[bool, tuple[Callable[..., object], tuple[Any, ...]]] = {}  # by: whether for writing
        self._called = {False: False, True: False}

    def watch(self, is_write: bool, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        """As loop.add_reader and loop.add_writer."""
        self._watchers[is_write] = (callback, args)
        if is_write and not self._is_ready(True):
            world = self.process.world
            half = SEND_BUFFER // 2 * BITS * SECOND // self.port.line.baud_of(self.port)
            world.at(world.now + world.ahead + half, self.poll)
        self.poll()

    def unwatch(self, is_write: bool) -> bool:
        """As loop.remove_reader and loop.remove_writer."""
        return self._watchers.pop(is_write, None) is not None

    def poll(self) -> None:
        """Call whoever waits for what is there, as long as it is: level-triggered."""
        for is_write in (False, True):
            if is_write in self._watchers and not self._called[is_write] and self._is_ready(is_write):
                self._called[is_write] = True
                self.loop.enter(self._call, is_write)

    def _is_ready(self, is_write: bool) -> bool:
        return self.hung_up or (self.port.out.room() > 0 if is_write else bool(self.port.received))

    def _call(self, is_write: bool) -> None:
        self._called[is_write] = False
        watcher = self._watchers.get(is_write)
        if watcher:
            watcher[0](*watcher[1])
            self.loop.call_soon(self.poll)

    def hang_up(self) -> None:
        """The adapter is gone."""
        self.hung_up = True
        world = self.process.world
        world.at(world.now + world.ahead, self.poll)  # not at once: this may be called while the world rests


class SerialLine:
    """A line between the port `a_path` of process `a` and `b_path` of `b`: attributes `a` and `b` are the ports, `ab`
    and `ba` the ways. The processes may be made later; several lines may lead to one process.

    Each end carries what its program has set (bit/s, ten to a byte); where these differ, only nonsense arrives.
    `buffer_a`, `buffer_b`: bytes that wait for a program that does not read. `boot`: what `a` says when its process
    starts. `usb`: the port `b` is the device's own (no adapter): it vanishes and comes back with the process `a`.

    To be assigned: `latency` (ns, from and to), `split` (probability that what is written at once arrives in pieces),
    `on_frame` (called with each Frame; returns a Fault, the bytes that leave in its place, or None).
    """

    def __init__(
        self,
        world: Machines,
        a: str,
        a_path: str,
        b: str,
        b_path: str,
        *,
        buffer_a: int = BOARD_BUFFER,
        buffer_b: int = HOST_BUFFER,
        boot: bytes = BOOT_TEXT,
        usb: bool = False,
    ) -> None:
        self.world = world
        self.boot = boot
        self.usb = usb
        self.latency = (100_000, 2_000_000)
        self.split = 0.1
        self.frames = 0
        self.on_frame: Callable[[Frame], Fault | bytes | None] | None = None
        self.parted = False
        self.parted_at = self.joined_at = 0
        self.a = SerialPort(self, a, a_path, buffer_a)
        self.b = SerialPort(self, b, b_path, buffer_b)
        self.a.out = self.b.into = self.ab = SerialWay(self, self.a, self.b)
        self.b.out = self.a.into = self.ba = SerialWay(self, self.b, self.a)
        self._babble = 0
        serial_ports(world).add(self)

    def noise(self, **rates: Any) -> None:
        """From now on this noise in both directions; `rates` as of noise.Noise."""
        for way in (self.ab, self.ba):
            way.noise = Noise(self.world.random.getrandbits(32), **rates)

    def babble(self, every_s: float, most: int = 8) -> None:
        """From now on 1 to `most` bytes from nowhere in both directions, every so many seconds on average; 0: none."""
        self._babble += 1
        if every_s:
            for way in (self.ab, self.ba):
                self._babble_later(way, every_s, most, self._babble)

    def _babble_later(self, way: SerialWay, every_s: float, most: int, number: int) -> None:
        world = self.world
        # Not with expovariate: the last bit of a machine's own logarithm depends on its processor.
        wait = _EXACT.multiply(_EXACT.ln(Decimal(1.0 - world.random.random())), -round(every_s * SECOND))
        world.at(world.now + round(wait), self._babbles, way, every_s, most, number)

    def _babbles(self, way: SerialWay, every_s: float, most: int, number: int) -> None:
        if number == self._babble:
            way.say(self.world.random.randbytes(self.world.draw(1, most)))
            self._babble_later(way, every_s, most, number)

    def part(self) -> None:
        """Take the wires off: nothing arrives, and nobody is told."""
        if not self.parted:
            self.world.note(self.ab.name, "part")
            self.ab.stop()
            self.ba.stop()
            self.parted = True
            self.parted_at = self.world.now + self.world.ahead

    def join(self) -> None:
        """Put them on again, perhaps in the middle of a byte."""
        if self.parted:
            self.world.note(self.ab.name, "join")
            self.parted = False
            self.joined_at = self.world.now

    def baud_of(self, port: SerialPort) -> int:
        """What a port is set to now."""
        file = port.file or self.a.file or self.b.file
        return file.baud if file else 115200


class SerialPorts:
    """All ports of a world, and what is open of them."""

    def __init__(self, world: Machines) -> None:
        self.world = world
        self.lines: list[SerialLine] = []
        self.files: dict[int, OpenPort] = {}
        self._ports: dict[tuple[str, str], SerialPort] = {}

    def add(self, line: SerialLine) -> None:
        for port in (line.a, line.b):
            if (port.host, port.path) in self._ports:
                raise ValueError(f"there is a port {port.name} already")
            self._ports[port.host, port.path] = port
        self.lines.append(line)

    def find(self, process: Machine, path: str) -> SerialPort | None:
        """The port that a path means to a process, if it is there."""
        port = self._ports.get((process.name, path))
        return port if port and port.plugged else None

    def paths(self, process: Machine) -> list[str]:
        """Of all ports that are there."""
        return sorted(path for (host, path), port in self._ports.items() if host == process.name and port.plugged)

    def open(self, port: SerialPort, process: Machine, baud: int) -> OpenPort:
        """Nobody else has it open."""
        number = next(_numbers)
        port.file = self.files[number] = OpenPort(port, process, number, baud)
        self.world.note(port.name, "open", str(baud))
        return port.file

    def close(self, number: int) -> None:
        file = self.files.pop(number, None)
        if file and file.port.file is file:
            self.world.note(file.port.name, "close")
            file.port.close(power=False)

    def started(self, process: Machine) -> None:
        """A life begins."""
        for line in self.lines:
            if line.a.host == process.name:
                if line.boot:
                    line.ab.say(line.boot)
                if line.usb and not line.b.plugged:
                    self.world.after(0.1 + self.world.random.random(), line.b.plug)

    def died(self, process: Machine) -> None:
        """A life has ended: its kernel closes everything; without power, there is no kernel any more."""
        ports = [port for port in self._ports.values() if port.host == process.name]
        self.files = {number: file for number, file in self.files.items() if file.process is not process}
        for port in ports:
            if port.file:
                port.close(power=False)
        # Only after this instant does a process know whether it has power; when it has rebooted since, its clock does.
        self.world.at(self.world.now, self._settle, process, ports)

    def _settle(self, process: Machine, ports: list[SerialPort]) -> None:
        if not process.powered or process.clock.begin == self.world.now:
            for port in ports:
                port.close(power=True)
        for line in self.lines:
            if line.usb and line.a.host == process.name and not process.alive:
                line.b.unplug()


def serial_ports(world: Machines) -> SerialPorts:
    """Those of a world."""
    ports: SerialPorts | None = vars(world).get("serial")
    if ports is None:
        ports = vars(world)["serial"] = SerialPorts(world)
    return ports


def kind_of(data: bytes) -> str:
    """What a frame of the link is, as far as its first byte tells."""
    at = 1 if data[:1] != b"\0" else 2
    return KINDS.get(data[at] & 0xF0, "BYTES") if at < len(data) else "BYTES"
