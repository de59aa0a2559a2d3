"""A half-duplex bus between pseudo-terminals: what one end writes all others read, paced to the baud rate; two that
speak at once garble all. Real programs at the ends.
"""

import asyncio
import random
import tempfile
from pathlib import Path
from types import TracebackType

from mqttlite.cli.demo.pty_line import _End, _Pace
from mqttlite.sim.lines.noise import Noise

_SLACK_S = 0.0005


class PtyBus:
    """`async with PtyBus(["gateway", "a", "b"]) as bus:` joins bus.path("gateway"), and so on. Counters: `collisions`,
    `bytes`.
    """

    def __init__(self, names: list[str], baud: int = 115200, *, bit_errors: float = 0.0, seed: int = 0) -> None:
        self.baud = baud
        self.collisions = 0
        self.bytes = 0
        self._names = names
        self._noise = {name: Noise(seed + number, bit_errors=bit_errors) for number, name in enumerate(names)}
        self._random = random.Random(seed)
        self._ends: dict[str, _End] = {}
        self._spoken: dict[str, tuple[float, float]] = {}  # when each spoke last
        self._tasks: list[asyncio.Task[None]] = []
        self._folder = Path()

    def path(self, name: str) -> str:
        """The device path of an end."""
        return str(self._folder / name)

    def say(self, name: str, data: bytes) -> None:
        """Bytes from an end's driver, whatever its program does."""
        self._carry(name, data, asyncio.get_running_loop().time())

    async def __aenter__(self) -> "PtyBus":
        self._folder = Path(tempfile.mkdtemp(prefix="mqttlite-bus-"))
        for name in self._names:
            end = self._ends[name] = _End(self._folder / name)
            end.plug()
            self._tasks.append(asyncio.create_task(self._listen(name, end)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for end in self._ends.values():
            if end.plugged:
                end.unplug()
        self._folder.rmdir()

    async def _listen(self, name: str, end: _End) -> None:
        pace = _Pace(self.baud)
        while True:
            data = await pace.take(end)
            self._carry(name, data, pace._free_at)

    def _carry(self, name: str, data: bytes, ends: float) -> None:
        begins = ends - len(data) * 10 / self.baud
        self.bytes += len(data)
        self._spoken[name] = (begins, ends)
        for other, (begun, ended) in self._spoken.items():
            if other != name and begun < ends - _SLACK_S and ended > begins + _SLACK_S:
                self.collisions += 1
                data = self._random.randbytes(len(data))
        for other, end in self._ends.items():
            if other != name:
                end.write(self._noise[other].apply(data))
