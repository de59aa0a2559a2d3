"""What programs ask the operating system for, answered by the world while it runs: time, randomness, sockets, files.

Functions are replaced in the modules os, time and secrets. Where product code would open real sockets or files or start
threads, the names `socket`, `os`, `fcntl`, `open` and `ThreadPoolExecutor` of that module are replaced: in
mqttlite.broker.listening.listen, and in every module of mqttlite.store. Serial ports: serial_os.py. What is
logged goes into the trace.
"""

import asyncio
import logging
import os
import secrets
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from concurrent.futures import Executor
from functools import lru_cache
from threading import get_ident
from typing import Any

import mqttlite.broker.listening.listen
import mqttlite.store.area_host
import mqttlite.store.damage
import mqttlite.store.journal
import mqttlite.store.sqlite

from ..handles import Killed
from ..machine import Machines
from ..net.network import Network, SocketModule
from .files import FakeFcntl, FakeOs, fake_open
from .serial_os import serial_answers

_real = {name: getattr(time, name) for name in ("gmtime", "sleep", "strftime")}


_logger = logging.getLogger("mqttlite")
_broker_logger = logging.getLogger("mqttlite.broker")


class Patches:
    """Those of a world: while entered, it answers. Entering them again meanwhile changes nothing."""

    def __init__(self, world: Machines, network: Network) -> None:
        self._world = world
        self._network = network
        self._handler = LogHandler(world)
        self._answers: list[tuple[Any, str, Any]] = []
        self._depth = 0
        self._saved: list[tuple[Any, str, Any]] = []
        self._log: tuple[list[logging.Handler], bool, int] = ([], True, 0)
        self._filters: list[Any] = []
        self._outside: asyncio.AbstractEventLoop | None = None  # the loop of a test that is a coroutine itself

    def __enter__(self) -> None:
        self._depth += 1
        if self._depth > 1:
            return
        self._answers = self._answers or _answers(self._world, self._network)
        for where, name, what in self._answers:
            self._saved.append((where, name, vars(where).get(name)))
            setattr(where, name, what)
        self._outside = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        self._log = (_logger.handlers, _logger.propagate, _logger.level)
        _logger.handlers, _logger.propagate = [self._handler], False
        _logger.setLevel(logging.WARNING)  # whatever the application wants to see: it is in the trace
        self._filters = list(_broker_logger.filters)

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            _logger.handlers, _logger.propagate, level = self._log
            _logger.setLevel(level)
            _broker_logger.filters = self._filters  # a broker that was killed has left its own
            asyncio._set_running_loop(self._outside)
            while self._saved:
                where, name, what = self._saved.pop()
                if what is None:
                    delattr(where, name)
                else:
                    setattr(where, name, what)


def _answers(world: Machines, network: Network) -> list[tuple[Any, str, Any]]:
    fake_os = FakeOs(world)
    names = {"os": fake_os, "fcntl": FakeFcntl(fake_os), "ThreadPoolExecutor": _executors(world)}
    return [
        *_clocks(world),
        *_chance(world),
        *((module, name, names[name]) for module, name in _places(len(sys.modules))),
        *((module, "open", fake_open(fake_os)) for module in (mqttlite.store.area_file, mqttlite.store.damage)),
        *((sys.modules[name], "socket", SocketModule(network)) for name in _WITH_SOCKETS if name in sys.modules),
        *serial_answers(world),
        (sys, "unraisablehook", _unraisable),
    ]


_WITH_SOCKETS = ("mqttlite.broker.listening.listen", "mqttlite_gateway.inside.joined")

_told = sys.unraisablehook


def _unraisable(what: "sys.UnraisableHookArgs") -> None:
    """What SQLite passes over (a file that cannot be deleted, say), and deaths in the middle of a call, are no news."""
    if type(what.exc_value).__module__ != "apsw" and not isinstance(what.exc_value, Killed):
        _told(what)


@lru_cache(1)
def _places(loaded: int) -> list[tuple[Any, str]]:
    """(module of mqttlite.store, name of what it would reach the machine with), while as many modules are loaded."""
    return [
        (module, name)
        for path, module in list(sys.modules.items())
        if path.startswith("mqttlite.store.")
        for name in ("os", "fcntl", "ThreadPoolExecutor")
        if name in vars(module)
    ]


def _clocks(world: Machines) -> list[tuple[Any, str, Any]]:
    thread = get_ident()

    def monotonic_ns() -> int:
        process = world.current
        now = world.now + world.ahead
        return process.clock.monotonic(now) if process else now

    def time_ns() -> int:
        process = world.current or next(iter(world.processes.values()), None)
        now = world.now + world.ahead
        return process.clock.time(now) if process else now

    def monotonic() -> float:
        return monotonic_ns() / 1e9

    def now() -> float:
        return time_ns() / 1e9

    def gmtime(seconds: float | None = None) -> time.struct_time:
        result: time.struct_time = _real["gmtime"](time_ns() // 1_000_000_000 if seconds is None else seconds)
        return result

    def strftime(text: str, moment: Any = None) -> str:
        return str(_real["strftime"](text, gmtime() if moment is None else moment))

    def sleep(seconds: float) -> None:
        if get_ident() == thread:
            world.ahead += round(seconds * 1e9)
        else:
            _real["sleep"](seconds)

    return [
        (time, "monotonic_ns", monotonic_ns),
        (time, "monotonic", monotonic),
        (time, "perf_counter", monotonic),
        (time, "perf_counter_ns", monotonic_ns),
        (time, "time_ns", time_ns),
        (time, "time", now),
        (time, "localtime", gmtime),  # every machine of the world is in Greenwich
        (time, "gmtime", gmtime),
        (time, "strftime", strftime),
        (time, "sleep", sleep),
    ]


def _chance(world: Machines) -> list[tuple[Any, str, Any]]:
    chance = world.random

    def urandom(size: int) -> bytes:
        process = world.current
        # The dead must not change what is drawn for the living.
        return bytes(size) if process and not process.alive else chance.randbytes(size)

    def token_bytes(nbytes: int | None = None) -> bytes:
        return urandom(32 if nbytes is None else nbytes)

    return [
        (os, "urandom", urandom),
        (secrets, "token_bytes", token_bytes),
        (secrets, "token_hex", lambda nbytes=None: token_bytes(nbytes).hex()),
        (secrets, "token_urlsafe", lambda nbytes=None: urlsafe_b64encode(token_bytes(nbytes)).rstrip(b"=").decode()),
        (secrets, "randbelow", lambda below: int.from_bytes(urandom(16 + below.bit_length() // 8), "big") % below),
    ]


def _executors(world: Machines) -> Callable[..., Executor]:
    """A class of executors that have no thread: their jobs are run by the loop of the process."""

    class VirtualExecutor(Executor):
        def __init__(self, max_workers: int = 1, *_: object, **__: object) -> None:
            self._max_workers = max_workers

        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
            process = world.current
            assert process is not None
            return process.loop.run_in_executor(self, lambda: fn(*args, **kwargs))

        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            pass  # what was submitted is still done

    return VirtualExecutor


class LogHandler(logging.Handler):
    """What mqttlite logs, in the trace."""

    def __init__(self, world: Machines) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        process = self._world.current
        if process is None or process.alive:
            text = record.getMessage()
            if record.exc_info and record.exc_info[0]:
                text += f" ({record.exc_info[0].__name__}: {record.exc_info[1]})"
            self._world.note(process.name if process else "world", record.levelname.lower(), text)
