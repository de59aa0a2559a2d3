"""What happens to a bridge while messages go through it. Each returns when nothing more will."""

import asyncio
import functools
import time
from collections.abc import Sized

from benchmarks.bridge.run import Fault, Scene

OUTAGE_S = 1.0


def _has(what: Sized, count: int) -> bool:
    return len(what) >= count


async def none(scene: Scene) -> None:
    """All of it is queued while the upstream is away; then it is there."""
    scene.wire.is_open = False
    scene.wire.cut()
    await scene.feed(scene.count)
    await scene.all_fed()
    scene.wire.is_open = True


async def cuts(scene: Scene) -> None:
    """Half is queued; then each connection is cut within its first kilobytes, in the resend of what was under way."""
    scene.wire.is_open = False
    scene.wire.cut()
    await scene.feed(scene.count // 2)
    await scene.all_fed()
    scene.wire.is_open = True
    for _ in range(15):
        before = scene.wire.cuts
        scene.wire.cut_after(scene.chance.randrange(50, 6000))
        await scene.feed(scene.count // 2 // 15)
        deadline = time.monotonic() + 20
        while scene.wire.cuts == before and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def black_hole(scene: Scene) -> None:
    """The connection is there, and nothing comes through; another one would pass."""
    for _ in range(2):
        await scene.feed(scene.count // 4)
        await scene.until(lambda: len(scene.got) > scene.next - scene.count // 8)
        scene.wire.mute()
        await scene.feed(scene.count // 4)
        await scene.all_fed()
        before = scene.wire.connections
        deadline = time.monotonic() + 30
        while scene.wire.connections == before and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def upstream_dies(scene: Scene) -> None:
    """The upstream is killed in mid-stream, five times, and is back a second later."""
    for _ in range(5):
        had = len(scene.got)
        await scene.feed(scene.count // 5)
        part = scene.chance.randrange(1, max(2, scene.count // 10))
        await scene.until(functools.partial(_has, scene.got, had + part), 10)
        scene.upstream.kill()
        await asyncio.sleep(OUTAGE_S)
        await asyncio.to_thread(scene.upstream.start)


async def bridge_dies(scene: Scene) -> None:
    """The bridge is killed with SIGKILL in mid-stream, five times, and started again."""
    for _ in range(5):
        had = len(scene.fed)
        await scene.feed(scene.count // 5)
        part = scene.chance.randrange(1, max(2, scene.count // 6))
        await scene.until(functools.partial(_has, scene.fed, had + part), 10)
        scene.contestant.kill()
        await asyncio.to_thread(scene.contestant.start)


async def disk_full(scene: Scene) -> None:
    """The upstream is away until the bridge's disk is full; it is killed, and started again on the full disk; then the
    upstream is back. (No more than `count` messages: whoever takes them all has found room.)
    """
    scene.wire.is_open = False
    scene.wire.cut()
    scene.begin_feeding(scene.count)
    await scene.all_fed(5)
    scene.contestant.kill()
    await asyncio.to_thread(scene.contestant.start)
    scene.wire.is_open = True


FAULTS: dict[str, tuple[str, Fault]] = {
    "none": ("upstream away, then back", none),
    "cuts": ("cut inside the resend, 15 times", cuts),
    "black-hole": ("connected and mute, twice", black_hole),
    "upstream": ("upstream killed in mid-stream, 5 times", upstream_dies),
    "killed": ("bridge killed (-9) in mid-stream, 5 times", bridge_dies),
    "disk-full": ("disk full, then killed", disk_full),
}
