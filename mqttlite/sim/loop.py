"""An event loop of asyncio in virtual time: one for each simulated process, driven by the world and never by itself.

A turn runs everything that is ready, at one instant; there is no debug mode. What the shells do not use is not there
and raises NotImplementedError. A loop that is dead takes everything and does nothing: what the coroutines of a killed
process still do while they are cleaned up has no effect.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextvars import Context
from typing import Any, TypeVar, cast
from weakref import ref

from .handles import Killed, Livelock, Task, Timer, Worker
from .lines.serial import serial_ports
from .machine import Loop, Machine, Machines
from .net.network import Network
from .timeline import SECOND

T = TypeVar("T")
TURN_LIMIT = 100_000  # callbacks at one instant after which a loop that runs in circles is assumed
_set_running_loop = asyncio._set_running_loop


class VirtualLoop(Loop):
    """The event loop of `process`. The world calls `turn`."""

    def __init__(self, world: Machines, process: Machine, network: Network) -> None:
        self._world = world
        self._network = network
        self._process = process
        self._clock = process.clock
        self._ready: deque[Timer] = deque()
        self._due = False  # a turn is in the world's queue
        self._turning = False
        self._free_at = 0  # the process does nothing before: it was stopped, or waited for its disk
        self._waits_until = 0  # the latest `_free_at` that a turn in the world's queue waits for
        self._tasks: list[ref[Task]] = []
        self._tasks_max = 64
        self._task_number = 0
        self._workers: dict[Executor, Worker] = {}
        self._signals: dict[int, tuple[Callable[..., object], tuple[Any, ...]]] = {}
        self.dead = False
        self._serial = serial_ports(world)
        self._serial.started(process)

    # -- the world's side

    def turn(self) -> None:
        """Run what is ready."""
        self._due = False
        ready = self._ready
        if not ready or self._turning:
            return
        world = self._world
        if world.now < self._free_at:
            self._due = True
            if self._waits_until != self._free_at:  # once, however often it is asked to
                self._waits_until = self._free_at
                world.at(self._free_at, self.turn)
            return
        count = 0
        self._turning = True
        world.current = self._process
        _set_running_loop(self)
        try:
            while ready:
                handle = ready.popleft()
                if handle._cancelled:
                    continue
                count += 1
                if count > TURN_LIMIT:
                    raise Livelock(
                        f"{self._process.name} runs in circles at {world.now} ns: the last callback was {handle!r}"
                    )
                try:
                    handle._context.run(handle._callback, *handle._args)
                except Killed:
                    if not self.dead:
                        raise
                except (KeyboardInterrupt, SystemExit):
                    raise
                except BaseException as error:
                    self.call_exception_handler({"message": f"Exception in callback {handle!r}", "exception": error})
                if world.ahead:  # it has waited for its disk: all else comes after that
                    break
        finally:
            self._turning = False
            _set_running_loop(None)
            world.current = None
            if world.ahead:
                self._free_at = world.now + world.ahead
                world.ahead = 0
        if self.dead:
            self._process.bury()
        elif ready:
            self._wake()
        if world.on_turn:
            world.on_turn(self._process)

    def stall(self, until: int) -> None:
        """The process does nothing before `until` (world's time); its kernel does."""
        self._free_at = max(self._free_at, until)

    def _wake(self) -> None:
        if not self._due and not self._turning:
            self._due = True
            world = self._world
            at = world.now + world.ahead
            world.at(at if at > self._free_at else self._free_at, self.turn)

    def enter(self, callback: Callable[..., object], *args: Any) -> None:
        """As Loop.enter."""
        if self.dead:
            return
        self._ready.append(Timer(self, 0.0, callback, args, None))
        if not self._due and not self._turning:
            if self._world.current is None:
                self.turn()
            else:
                self._wake()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self._world.forget_one()

    def _fire(self, timer: Timer) -> None:
        timer._scheduled = False
        if timer._cancelled:
            self._world.forgotten_one()
        elif not self.dead:
            self._ready.append(timer)
            self.turn()

    def die(self) -> None:
        """Nothing happens here any more."""
        self.dead = True
        self._ready.clear()
        self._signals.clear()
        self._workers.clear()
        self._serial.died(self._process)

    def tasks(self) -> list[Task]:
        """The tasks that are not done, in the order in which they were made."""
        found = [task for reference in self._tasks if (task := reference()) is not None and not task.done()]
        self._tasks = [ref(task) for task in found]
        return found

    def signal(self, number: int) -> bool:
        """Send the process a signal; whether it has a handler for it."""
        handler = self._signals.get(number)
        if handler:
            self.enter(handler[0], *handler[1])
        return handler is not None

    # -- asyncio's side

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Timer:
        handle = Timer(self, 0.0, callback, args, context)
        if not self.dead:
            self._ready.append(handle)
            if not self._due and not self._turning:
                self._wake()
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Timer:
        ahead = self._world.ahead
        if not ahead or self._turning:
            return self.call_soon(callback, *args, context=context)
        handle = Timer(self, 0.0, callback, args, context)  # a job has taken some time already
        self._schedule(self._world.now + ahead, handle)
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Timer:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Timer:
        timer = Timer(self, when, callback, args, context)
        if not self.dead:
            at = self._clock.when(round(when * SECOND))
            now = self._world.now + self._world.ahead
            self._schedule(at if at > now else now, timer)
        return timer

    def _schedule(self, at: int, timer: Timer) -> None:
        if not self.dead:
            timer._scheduled = True
            self._world.at(at, self._fire, timer)

    def time(self) -> float:
        return self._clock.monotonic(self._world.now + self._world.ahead) / SECOND

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], *, name: str | None = None, **options: Any
    ) -> asyncio.Task[T]:
        if self.dead:
            coro.close()
            return cast("asyncio.Task[T]", self.create_future())
        self._task_number += 1
        Task._number = self._task_number  # while the constructor runs: it puts the task into a set
        task = Task(coro, loop=self, name=name, **options)
        task._number = self._task_number
        if len(self._tasks) >= self._tasks_max:
            self._tasks_max = max(64, 2 * len(self.tasks()))
        self._tasks.append(ref(task))
        return task

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """The function is run in one piece, after a while; its result comes after what it waited for its disk."""
        future: asyncio.Future[T] = self.create_future()
        if self.dead:
            return future
        if executor is None or getattr(executor, "_max_workers", 1) > 1:
            worker = Worker()
        else:
            worker = self._workers.setdefault(executor, Worker())
        worker.jobs.append((future, func, args))
        if not worker.busy:
            self._next_job(worker)
        return future

    def _next_job(self, worker: Worker) -> None:
        worker.busy = bool(worker.jobs)
        if worker.busy:
            world = self._world
            world.at(world.now + world.ahead + world.draw(*self._process.handover_ns), self._job, worker)

    def _job(self, worker: Worker) -> None:
        if self.dead:
            return
        future, func, args = worker.jobs.popleft()
        world = self._world
        error: BaseException | None = None
        result: Any = None
        world.current = self._process
        try:
            result = func(*args)
        except Killed:
            if not self.dead:
                raise
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as raised:
            error = raised
        finally:
            world.current = None
            ahead, world.ahead = world.ahead, 0
        if self.is_closed():
            self._process.bury()
        else:
            world.at(
                world.now + ahead + world.draw(*self._process.handover_ns),
                self._job_done,
                worker,
                future,
                result,
                error,
            )

    def _job_done(self, worker: Worker, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        if not self.dead:
            self._next_job(worker)
            self.enter(_settle, future, result, error)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.dead:
            self._process.unhandled.append((str(context.get("message")), context.get("exception")))

    def get_debug(self) -> bool:
        return False

    def is_closed(self) -> bool:
        return self.dead

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        self._signals[int(sig)] = (callback, args)

    # -- the serial ports': nothing else has a descriptor

    def add_reader(self, fd: Any, callback: Callable[..., object], *args: Any) -> None:  # type: ignore[override]
        self._watch(fd, False, callback, args)

    def add_writer(self, fd: Any, callback: Callable[..., object], *args: Any) -> None:  # type: ignore[override]
        self._watch(fd, True, callback, args)

    def remove_reader(self, fd: Any) -> bool:
        return fd in self._serial.files and self._serial.files[fd].unwatch(False)

    def remove_writer(self, fd: Any) -> bool:
        return fd in self._serial.files and self._serial.files[fd].unwatch(True)

    def _watch(self, fd: int, is_write: bool, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        if not self.dead:
            self._serial.files[fd].watch(is_write, callback, args)

    # -- the network's

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> list[Any]:
        return self._network.getaddrinfo(self._process, host, port)

    async def create_connection(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        **options: Any,
    ) -> tuple[asyncio.Transport, Any]:
        sock = options.pop("sock", None)
        _no(options)
        if sock is not None:  # one of a pair
            return cast("tuple[asyncio.Transport, Any]", sock.begin(protocol_factory))
        if host is None or port is None:
            raise NotImplementedError("a connection in the simulated network needs a host and a port")
        return await self._network.connect(self._process, protocol_factory, host, port)

    async def connect_accepted_socket(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], sock: Any, **options: Any
    ) -> tuple[asyncio.Transport, Any]:
        _no(options)
        return cast("tuple[asyncio.Transport, Any]", sock.begin(protocol_factory))

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        *,
        sock: Any = None,
        **options: Any,
    ) -> Any:
        _no({name: value for name, value in options.items() if name not in ("reuse_address", "backlog", "family")})
        if sock is None:
            sock = self._network.socket()
            sock.bind((self._network.address(self._process, host or "0.0.0.0"), port or 0))
        return sock.serve(self, protocol_factory)


def _no(options: dict[str, Any]) -> None:
    for name, value in options.items():
        if value:
            raise NotImplementedError(f"the simulated network does not know the option {name}")


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
