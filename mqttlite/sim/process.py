"""A simulated process: an event loop, clocks and a disk; it can be killed at any instant and started again.

`kill` is what `kill -9` does: the kernel lives on, closes the connections and keeps what was written. `cut_power` takes
the machine away: peers are told nothing, and of what was not synced the disk keeps what chance wants. `stop` is an
orderly end: main is cancelled, as by Ctrl-C.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from types import CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from .clock import Clock
from .disks.disk import Disk, Mount
from .handles import Killed
from .loop import VirtualLoop
from .machine import Machines
from .net.network import Network
from .timeline import SECOND

if TYPE_CHECKING:
    from ..broker.clients.broker_store import BrokerStore
    from ..store.sqlite import SqliteStore

RESERVE = 16 << 10  # bytes that a store keeps on the disk: enough for the little that happens here
CLOSING_LIMIT = 100  # awaits in the finally blocks of one coroutine of a killed process


class Process:
    """Made by World.process. `main(process)` is its program, called anew in each life.

    `alive`, `life` (how often it has been started), `result` and `error`: how main ended, `unhandled`: what asyncio's
    exception handler was told.
    """

    def __init__(
        self,
        world: Machines,
        network: Network,
        name: str,
        main: Callable[["Process"], Awaitable[Any]],
        disk: Disk | None,
        clock: Clock,
    ) -> None:
        self.world = world
        self.name = name
        self.main = main
        self.clock = clock
        self.disk = disk or Disk(world, name)
        self.handover_ns = (5_000, 50_000)  # how long another thread takes to take a job, and to hand back its result
        self.life = 0
        self.alive = False
        self.powered = True
        self.result: Any = None
        self.error: BaseException | None = None
        self.may_fail = False
        self.unhandled: list[tuple[str, BaseException | None]] = []
        self.loop: VirtualLoop
        self.mount: Mount
        self._network = network
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start main, now; again with what the disk has."""
        if self.alive:
            raise RuntimeError(f"{self.name} is running")
        self.life += 1
        self.alive = True
        self.result = None
        self.error = None
        if not self.powered:
            self.powered = True
            self.clock.reboot(self.world.now)
            self._network.powered_on(self)
        self.mount = self.disk.mount()
        self.loop = VirtualLoop(self.world, self, self._network)  # type: ignore[abstract]
        self.world.note(self.name, "start", str(self.life))
        self._task = self.loop.create_task(self._run(), name=self.name)

    def restart(self) -> None:
        """Kill it if it is running, and start it."""
        if self.alive:
            self.kill()
        self.start()

    def kill(self) -> None:
        """End it at once, as `kill -9`. Called from within itself, this does not return."""
        self._die("kill", power=False)

    def cut_power(self) -> None:
        """Take its machine's power away, at once. Called from within itself, this does not return."""
        self._die("power cut", power=True)

    def lose_disk(self) -> None:
        """Take the power away, and with it all files but the application's database (app.db and what belongs to it)."""
        if self.alive:
            self.cut_power()
        self.disk.put({name: data for name, data in self.disk.files().items() if name.startswith("app.db")})

    def stop(self) -> None:
        """Ask it to end: SIGTERM where it has a handler for that, else main is cancelled."""
        if self.alive and self._task and not self.loop.signal(15):
            self.loop.enter(self._task.cancel)

    def stall(self, seconds: float) -> None:
        """Let it do nothing for so long."""
        self.world.note(self.name, "stall", f"{seconds} s")
        self.loop.stall(self.world.now + round(seconds * SECOND))

    @property
    def connect(self) -> Callable[..., Any]:
        """Makes SQLite connections to files on its disk, in this life; needs apsw. See sqlite_files.connect."""
        from .disks.sqlite_files import connect

        return partial(connect, self.mount)

    def sqlite_store(self, path: str = "state.db", **options: Any) -> "SqliteStore":
        """The SQLite store on this process's disk; options as SqliteStore's."""
        from ..store.sqlite import SqliteStore

        return SqliteStore("/" + path, connect=self.connect, **{"reserve": RESERVE, **options})

    def broker_store(self, path: str = "broker.db", **options: Any) -> "BrokerStore":
        """A broker's store on this process's disk; options as BrokerStore's."""
        from ..broker.clients.broker_store import BrokerStore

        return BrokerStore("/" + path, connect=self.connect, **{"reserve": RESERVE, **options})

    # -- inside

    async def _run(self) -> None:
        try:
            self.result = await self.main(self)
        except asyncio.CancelledError:
            pass
        except Exception as error:
            if self.alive:
                self.error = error
        others = [task for task in self.loop.tasks() if task is not self._task]
        for task in others:
            task.cancel()
        if others:
            await asyncio.gather(*others, return_exceptions=True)
        self.world.at(self.world.now + self.world.ahead, self._ended, self.life)

    def _ended(self, life: int) -> None:
        if self.alive and life == self.life:
            if self.error is not None and not self.may_fail:
                self.world.fail(self.name, self.error)
            self._die(f"failed: {type(self.error).__name__}" if self.error else "end", power=False)

    def _die(self, how: str, power: bool) -> None:
        world = self.world
        inside = world.current is self
        if self.alive:
            self.alive = False
            world.note(self.name, how, str(self.life))
            self._network.process_died(self, power)
            self.mount.die(power)
            self.loop.die()
            self.powered = self.powered and not power
            if not inside:
                self.bury()
        if inside:
            raise Killed

    def bury(self) -> None:
        """Let every coroutine come to its end now, not when garbage is collected; nothing of it has an effect."""
        world = self.world
        running, current = asyncio._get_running_loop(), world.current
        asyncio._set_running_loop(self.loop)
        world.current = self
        try:
            for task in self.loop.tasks():
                _close(task.get_coro())
        finally:
            asyncio._set_running_loop(running)
            world.current = current
            world.ahead = 0


def _close(coro: Any) -> None:
    """Throw GeneratorExit into what a task runs, from the inside to the outside, until nothing of it is left."""
    for _ in range(CLOSING_LIMIT):
        inner = coro
        while (awaited := _awaited(inner)) is not None:
            inner = awaited
        try:
            inner.close()
        except RuntimeError:  # it awaits something in a finally block: that one, too
            continue
        except ValueError:
            if getattr(inner, "cr_running", False) or getattr(inner, "gi_running", False):
                return
        except (Exception, Killed, asyncio.CancelledError):
            pass
        if inner is coro:
            return


def _awaited(coro: Any) -> Any:
    """The coroutine that a coroutine awaits; None: it awaits a future, or nothing."""
    awaited = getattr(coro, "cr_await", None) or getattr(coro, "gi_yieldfrom", None)
    if isinstance(awaited, CoroutineType):
        return awaited if awaited.cr_frame is not None else None
    if isinstance(awaited, GeneratorType):
        return awaited if awaited.gi_frame is not None else None
    return None
