"""What the program of a board finds on a board: time, select, socket, os, machine, network, esp32, in virtual time.

`put_in_place(world)` puts them into sys.modules, where imports find them before the interpreter's own.
"""

import os as real_os
import sys
import time as real_time

PERIOD = 1 << 30  # of ticks_ms on a board
YEAR_2000 = 946684800
LATENCY_MS = 10
PWRON, HARD, WDT, DEEPSLEEP, SOFT = 1, 2, 3, 4, 5


class Reset(BaseException):
    """machine.reset() or the watchdog."""


class Sleep(BaseException):
    """machine.deepsleep(args[0])."""


class Module:
    """Stands in for a module; takes what another one has."""

    def __init__(self, like=None):
        for name in dir(like) if like else ():
            if name[:2] != "__":
                setattr(self, name, getattr(like, name))


def ticks_diff(a, b):
    return ((a - b + PERIOD // 2) & (PERIOD - 1)) - PERIOD // 2


def make_time(world):
    time = Module(real_time)

    def seconds():
        world.power.check()
        if world.clock_set is None:
            return YEAR_2000 + (world.now - world.powered) // 1000
        return (world.clock_set + world.now) // 1000

    def ticks_ms():
        world.power.check()
        world.now += world.power.took_ms
        world.power.took_ms = 0
        return (world.now + world.ticks_begin) & (PERIOD - 1)

    time.ticks_ms = ticks_ms
    time.ticks_us = lambda: (ticks_ms() * 1000) & (PERIOD - 1)
    time.ticks_diff = ticks_diff
    time.ticks_add = lambda a, b: (a + b) & (PERIOD - 1)
    time.time = seconds
    time.time_ns = lambda: seconds() * 1000000000
    time.sleep = lambda s: world.wait(int(s * 1000))
    time.sleep_ms = world.wait
    time.gmtime = lambda s=None: real_time.gmtime(seconds() if s is None else s)
    time.localtime = time.gmtime
    return time


def make_select(world):
    class Poll:
        def __init__(self):
            self.objects = {}

        def register(self, stream, flags):
            self.objects[id(stream)] = [stream, flags]

        def modify(self, stream, flags):
            self.objects[id(stream)][1] = flags

        def unregister(self, stream):
            del self.objects[id(stream)]

        def ready(self):
            found = []
            for stream, flags in self.objects.values():
                flags &= stream.ready()
                if flags:
                    found.append((stream, flags))
            return found

        def poll(self, timeout_ms=-1):
            return list(self.ipoll(timeout_ms))

        def ipoll(self, timeout_ms):
            world.power.check()
            found = self.ready()
            if found:
                world.wait(1)
            else:
                world.wait(timeout_ms, self.ready)
                found = self.ready()
            return found

    select = Module()
    select.poll = Poll
    select.POLLIN, select.POLLOUT, select.POLLERR, select.POLLHUP = 1, 4, 8, 16
    return select


class Socket:
    """TCP to the broker."""

    def __init__(self, world):
        self.world = world
        self.incoming = b""
        self.is_open = False
        self.is_closed = False
        self.is_broken = False  # something was lost on the way: nothing more arrives, in either direction
        self.life = self.world.lives
        self.connection = None

    def setblocking(self, _):
        pass

    settimeout = setblocking

    def setsockopt(self, *_):
        pass

    def connect(self, address):
        self.world.power.check()
        if self.world.network == "refuses":
            raise OSError(111)
        if self.world.network == "there":
            self.world.later(LATENCY_MS, self._connected)
        raise OSError(115)

    def _connected(self):
        if self.life == self.world.lives and self.world.network == "there":
            self.is_open = True
            self.connection = self.world.broker_connection(self._to_board, self._ended)
            self.world.sockets.append(self)

    def _to_board(self, data):
        self.world.later(LATENCY_MS, lambda: self._arrived(data))

    def _arrived(self, data):
        if self.is_open and self._carries():
            self.incoming += data

    def _carries(self):
        self.is_broken = self.is_broken or self.world.network != "there"
        return not self.is_broken

    def _ended(self):
        if self._carries():
            self.world.later(LATENCY_MS, self._end)

    def _end(self):
        self.is_closed = True
        if self in self.world.sockets:
            self.world.sockets.remove(self)

    def ready(self):
        return (1 if self.incoming or self.is_closed else 0) | (4 if self.is_open or self.is_closed else 0)

    def read(self, size=-1):
        self.world.power.check()
        if not self.incoming:
            return b"" if self.is_closed else None
        data = self.incoming if size < 0 else self.incoming[:size]
        self.incoming = self.incoming[len(data) :]
        return data

    recv = read

    def write(self, data):
        self.world.power.check()
        if self.is_closed:
            raise OSError(104)
        copied = bytes(data)
        self.world.later(LATENCY_MS, lambda: self._to_broker(copied))
        return len(copied)

    send = write

    def _to_broker(self, data):
        if self._carries() and not self.is_closed:
            self.connection.feed(data)

    def close(self):
        if self.connection and not self.is_closed:
            connection = self.connection
            self.world.later(LATENCY_MS, connection.lost)
        self._end()


def make_socket(world):
    socket = Module()
    socket.socket = lambda *_: Socket(world)
    socket.SOCK_STREAM, socket.AF_INET = 1, 2
    socket.getaddrinfo = lambda host, port, *_: [(2, 1, 0, "", (host, port))]
    return socket


def make_clock(world):
    class Clock:
        def datetime(self, value=None):
            if value is None:
                now = real_time.gmtime(make_time(world).time())
                return now[:3] + (now[6],) + now[3:6] + (0,)
            year, month, day, _, hour, minute, second, _ = value
            world.clock_set = real_time.mktime((year, month, day, hour, minute, second, 0, 0, 0)) * 1000 - world.now
            return None

        def memory(self, value=None):
            if value is None:
                return world.sleep_memory
            world.sleep_memory = bytes(value)
            return None

    return Clock


def make_machine(world):
    machine = Module()

    class Watchdog:
        def __init__(self, timeout=0, **_):
            world.watchdog_ms = timeout
            self.feed()

        def feed(self):
            world.power.check()
            world.fed = world.now

    class Pin:
        IN, OUT, PULL_UP = 0, 1, 2

        def __init__(self, number, *_, **__):
            self.level = 0

        def value(self, level=None):
            if level is None:
                return self.level
            self.level = level
            return None

        __call__ = value

    class Timer:
        def __init__(self, *_, **__):
            self.id = 0

        def init(self, mode=0, period=0, callback=None, **_):
            self.id += 1
            self._again(self.id, period, callback, mode, world.lives)

        def _again(self, number, period, callback, mode, life):
            def due():
                if self.id == number and life == world.lives:
                    callback(self)
                    if mode:
                        self._again(number, period, callback, mode, life)

            world.later(period, due)

        def deinit(self):
            self.id += 1

    Timer.ONE_SHOT, Timer.PERIODIC = 0, 1

    def reset():
        world.power.check()
        world.power.off(Reset())

    def deepsleep(ms=0):
        world.power.check()
        world.power.off(Sleep(ms))

    machine.WDT, machine.Pin, machine.Timer, machine.RTC = Watchdog, Pin, Timer, make_clock(world)
    machine.reset, machine.deepsleep, machine.soft_reset = reset, deepsleep, reset
    machine.reset_cause = lambda: world.cause
    machine.unique_id = lambda: b"\1\2\3\4\5\6"
    machine.freq = lambda *_: 160000000
    machine.PWRON_RESET, machine.HARD_RESET, machine.WDT_RESET = PWRON, HARD, WDT
    machine.DEEPSLEEP_RESET, machine.SOFT_RESET = DEEPSLEEP, SOFT
    return machine


def make_network(world):
    class Wlan:
        def __init__(self, *_):
            pass

        def active(self, *_):
            return True

        def connect(self, *_):
            world.power.check()

        def disconnect(self):
            pass

        def isconnected(self):
            return True

        def config(self, *_, **__):
            return None

        def status(self, *_):
            return 1010

        def ifconfig(self, *_):
            return ("192.168.1.50", "255.255.255.0", "192.168.1.1", "192.168.1.1")

        ipconfig = ifconfig

    Wlan.IF_STA = Wlan.PM_NONE = 0
    network = Module()
    network.WLAN, network.STA_IF = Wlan, 0
    return network


def make_esp32(world):
    class Partition:
        TYPE_DATA, TYPE_APP = 1, 0

        @staticmethod
        def find(kind=1, label=None, **_):
            return [world.ring] if world.ring and label == world.ring_label else []

    esp32 = Module()
    esp32.Partition = Partition
    esp32.raw_temperature = esp32.mcu_temperature = lambda: 100
    return esp32


def make_os(world):
    os = Module(real_os)

    def urandom(size):
        found = []
        for _ in range(size):
            world.chance = (world.chance * 1103515245 + 12345) & 0x3FFFFFFF
            found.append(world.chance >> 16 & 255)
        return bytes(found)

    os.urandom = urandom
    return os


def make_sys(world):
    fake = Module(sys)
    fake.print_exception = lambda error, file=None: (
        world.say("exception:", repr(error)) if file is None else (sys.print_exception(error, file))
    )
    fake.stdin = Console(world)
    fake.stdout = fake.stdin
    return fake


class Console:
    """What comes in on the board's USB socket; what goes out is nobody's."""

    def __init__(self, world):
        self.world = world
        self.buffer = self

    def ready(self):
        return 1 if self.world.console else 0

    def read(self, size):
        data = self.world.console[:size]
        self.world.console = self.world.console[size:]
        return data

    def write(self, data):
        self.world.power.check()
        return len(data)


def put_in_place(world):
    modules = {"time": make_time, "select": make_select, "socket": make_socket, "machine": make_machine}
    modules.update({"network": make_network, "esp32": make_esp32, "os": make_os, "sys": make_sys})
    for name, make in modules.items():
        sys.modules[name] = make(world)
    sys.modules["_asyncio"] = Module()  # which has a clock of its own; its source is used in its place
