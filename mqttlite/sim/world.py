"""The deterministic world: one thread, virtual time, one seed. Real client, broker and stores run in it unmodified.

    world = World(4711)
    broker = world.process("broker", run_broker)         # async def run_broker(process): ...
    world.run_until(lambda: broker.result is not None, limit_s=60)

How time passes and what decides: timeline.py. While the world runs, os.urandom, secrets and time are the current
process's (system/).
"""

from collections.abc import Awaitable, Callable
from typing import Any

from ..store.in_sqlite import sqlite_file
from .clock import Clock
from .disks.disk import Disk
from .machine import Machines
from .net.network import Network
from .process import Process
from .system.patches import Patches


class World(Machines):
    """See Timeline. `processes`: by name. `network`: between them."""

    def __init__(self, seed: int, *, keep_trace: bool = True) -> None:
        super().__init__(seed, keep_trace=keep_trace)
        self.current: Process | None = None
        self._processes: dict[str, Process] = {}
        self.network = Network(self)
        self._patches = Patches(self, self.network)

    @property
    def processes(self) -> dict[str, Process]:
        return self._processes

    def process(
        self,
        name: str,
        main: Callable[[Process], Awaitable[Any]],
        disk: Disk | None = None,
        *,
        clock: Clock | None = None,
        start: bool = True,
    ) -> Process:
        """A process on a machine of its own, which is also its host name. It starts at once, unless told otherwise.

        `main(process)` is its program. An exception that it raises ends `run` and `run_until` with ProcessFailed,
        unless `process.may_fail`.
        """
        if name in self.processes:
            raise ValueError(f"there is a process {name} already")
        process = self.processes[name] = Process(self, self.network, name, main, disk, clock or Clock(begin=self.now))
        if start:
            process.start()
        return process

    def run_until(self, condition: Callable[[], bool], limit_s: float = 3600.0) -> bool:
        """As Timeline.run_until."""
        with self._patches:
            return super().run_until(condition, limit_s)

    def close(self) -> None:
        """End every process: nothing is left for the garbage collector to find. The trace has no entry of it."""
        self._keep_trace = True
        length = len(self.trace)
        with self._patches:
            for process in self.processes.values():
                if process.alive:
                    process.kill()
        del self.trace[length:]
        self._queue.clear()
        sqlite_file.strays.clear()
