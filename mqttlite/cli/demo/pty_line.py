"""A noisy serial line between two pseudo-terminals, paced to its baud rate: real programs at both ends. asyncio, POSIX.

For tests and the demo. The paths are symbolic links, which vanish and come back like an adapter that is unplugged.
"""

import asyncio
import contextlib
import os
import tempfile
import tty
from pathlib import Path
from types import TracebackType

from ...sim.lines.noise import BITS, Noise
from .resample import resampled

# A portion is carried when its last bit would have arrived: this long at most after its first.
_PORTION_S = 0.004
# A timer that fires late must not slow the line down.
_CATCH_UP_S = 0.02
# A line that nobody wrote to for so long is idle.
_IDLE_S = 0.0005


class _End:
    """One socket of the line: a pty while something is plugged in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.overflowed = 0
        self._master = -1
        self._slave = -1
        self._plugged = asyncio.Event()
        self._readable: asyncio.Future[None] | None = None

    def plug(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)  # as a UART: no echo, no line editing
        os.set_blocking(self._master, False)
        os.symlink(os.ttyname(self._slave), self.path)
        self._plugged.set()

    def unplug(self) -> None:
        self._plugged.clear()
        self._wake()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1

    @property
    def plugged(self) -> bool:
        return self._plugged.is_set()

    async def read(self, size: int) -> bytes:
        """At least one byte that a program has written here."""
        loop = asyncio.get_running_loop()
        while True:
            await self._plugged.wait()
            try:
                # Our own open slave keeps the master from reporting a hang-up when a program closes its end.
                return os.read(self._master, size)
            except BlockingIOError:
                self._readable = loop.create_future()
                loop.add_reader(self._master, self._wake)
                try:
                    await self._readable
                finally:
                    self._wake()

    def write(self, data: bytes) -> None:
        """Bytes for the program here; what its full buffer does not take is lost, as in a UART."""
        taken = 0
        if self.plugged:
            with contextlib.suppress(BlockingIOError):
                taken = os.write(self._master, data)
        self.overflowed += len(data) - taken

    def _wake(self) -> None:
        if self._readable is not None:
            asyncio.get_running_loop().remove_reader(self._master)
            if not self._readable.done():
                self._readable.set_result(None)
            self._readable = None


class NoisyLine:
    """`async with NoisyLine(115200, bit_errors=1e-4, dropped=1e-3, seed=1) as line:` joins line.a_path and line.b_path.

    `bit_errors`, `dropped`, `bursts`: see Noise; the same in both directions, with different seeds. To be changed at
    any time: `baud_b`, what the port at end b is set to, and `broken`, the wires that lead nowhere: "ab" (from a to b),
    "ba". Counters: `noise_ab`, `noise_ba` (see Noise), `bytes_ab`, `bytes_ba` (carried), `overflowed` (nobody read, or
    unplugged).
    """

    def __init__(
        self,
        baud: int = 115200,
        bit_errors: float = 0.0,
        dropped: float = 0.0,
        seed: int = 0,
        *,
        bursts: float = 0.0,
    ) -> None:
        self.baud = self.baud_b = baud
        self.broken: set[str] = set()
        self.noise_ab = Noise(2 * seed, bit_errors=bit_errors, dropped=dropped, bursts=bursts)
        self.noise_ba = Noise(2 * seed + 1, bit_errors=bit_errors, dropped=dropped, bursts=bursts)
        self.bytes_ab = 0
        self.bytes_ba = 0
        self._folder = Path()
        self._ends: dict[str, _End] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def a_path(self) -> str:
        """The device path of end a."""
        return str(self._folder / "a")

    @property
    def b_path(self) -> str:
        """The device path of end b."""
        return str(self._folder / "b")

    @property
    def overflowed(self) -> int:
        """Bytes that arrived where nobody took them."""
        return sum(end.overflowed for end in self._ends.values())

    async def __aenter__(self) -> "NoisyLine":
        self._folder = Path(tempfile.mkdtemp(prefix="mqttlite-line-"))
        self._ends = {name: _End(self._folder / name) for name in "ab"}
        a, b = self._ends.values()
        for end in (a, b):
            end.plug()
        self._tasks = [asyncio.create_task(self._carry_ab(a, b)), asyncio.create_task(self._carry_ba(b, a))]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            results = await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            for end in self._ends.values():
                if end.plugged:
                    end.unplug()
            self._folder.rmdir()
        for result in results:
            if isinstance(result, Exception) and error is None:
                raise result

    def unplug(self, end: str) -> None:
        """Pulls the adapter of end "a" or "b": its path vanishes, and who has it open gets an error."""
        self._ends[end].unplug()

    def replug(self, end: str) -> None:
        """Plugs it in again: the same path, another device."""
        self._ends[end].plug()

    async def _carry_ab(self, a: _End, b: _End) -> None:
        pace = _Pace(self.baud)
        while True:
            data = await pace.take(a)
            if "ab" not in self.broken:
                self.bytes_ab += len(data)
                b.write(self.noise_ab.apply(self._received(data, self.baud, self.baud_b)))

    async def _carry_ba(self, b: _End, a: _End) -> None:
        pace = _Pace(self.baud)
        while True:
            data = await pace.take(b)
            if "ba" not in self.broken:
                self.bytes_ba += len(data)
                a.write(self.noise_ba.apply(self._received(data, self.baud_b, self.baud)))

    def _received(self, data: bytes, sent: int, read: int) -> bytes:
        return data if sent == read else resampled(data, sent, read)


class _Pace:
    """Takes bytes from an end no faster than the line carries them; what waits, waits in the pty as in a driver."""

    def __init__(self, baud: int) -> None:
        self._byte_s = BITS / baud
        self._portion = max(1, int(_PORTION_S / self._byte_s))
        self._free_at = 0.0

    async def take(self, source: _End) -> bytes:
        time = asyncio.get_running_loop().time
        asked = time()
        data = await source.read(self._portion)
        now = time()
        # Only a line that was never idle may catch up: on an idle one the first bit leaves now.
        begin = now - _CATCH_UP_S if now - asked < _IDLE_S else now
        self._free_at = max(self._free_at, begin) + len(data) * self._byte_s
        await asyncio.sleep(max(0.0, self._free_at - now))
        return data
