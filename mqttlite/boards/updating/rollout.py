"""Updates to one device or many, over one connection: the first few, then a part of the rest at a time, no further than
the failures that are allowed. Each device says what it wants (TOPIC/update/want), and how it stands (.../state).

Nothing is kept on the computer: what is broken off here is taken up where the device is. Its retained state names the
update that it has begun, and the same release makes the same manifest again.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...client import Client, Message
from .devices import Device
from .manifest import Blocks, Update, Want

AGAIN_S = 15.0  # without an answer, until the manifest is sent again; each time twice as long, up to
AGAIN_MAX_S = 900.0
SETTLE_S = 1.0  # for retained states to arrive
TOGETHER = 50  # devices that are sent to at the same time
COUNT_MAX = 1 << 62  # what a device says may be anybody's
DONE = ("good", "there")
FAILED = ("failed", "silent")


@dataclass
class Progress:
    """How it stands with one device. `phase`: waiting, sending, trial, good, there (it had it already), failed, silent
    (nothing was heard of it for too long); `why`: of a failure. `left`: blocks that are missing, of `total`; -1: not
    known yet.
    """

    device: Device
    phase: str = "waiting"
    why: str = ""
    left: int = -1
    total: int = 0
    blocks_sent: int = 0
    release: str = ""  # what runs

    @property
    def share(self) -> float:
        """How much of it is there, 0 to 1."""
        if self.phase in ("trial", *DONE):
            return 1.0
        return 0.0 if self.left < 0 or not self.total else 1 - self.left / self.total


@dataclass(frozen=True)
class Stages:
    """Who comes when. `first`: so many devices alone (0: no such stage), then `percent` of the rest at a time. It ends
    when more than `failures_max` have failed. `wait_s`: so long nothing may be heard of a device.
    """

    first: int = 1
    percent: float = 100.0
    failures_max: int = 0
    wait_s: float = 900.0

    def of(self, count: int) -> list[range]:
        """The devices of each stage, by number."""
        found = [range(min(self.first, count))] if self.first > 0 else []
        at = len(found[0]) if found else 0
        size = max(1, round((count - at) * self.percent / 100))
        while at < count:
            found.append(range(at, min(at + size, count)))
            at += size
        return [stage for stage in found if stage]


@dataclass
class Rollout:
    """One release to these devices. `make(device, count)`: its update; `next_count(device, least)`: a number for a new
    one; `tell(progress)`: is told of each change, `tell_stage(number, of, devices)` of each stage.
    """

    client: Client
    devices: Sequence[Device]
    make: Callable[[Device, int], Update]
    next_count: Callable[[Device, int], int]
    stages: Stages = field(default_factory=Stages)
    tell: Callable[[Progress], object] = lambda progress: None
    tell_stage: Callable[[int, int, int], object] = lambda number, of, devices: None

    def __post_init__(self) -> None:
        self.progress = [Progress(device) for device in self.devices]
        self._queues: dict[str, asyncio.Queue[tuple[str, bytes]]] = {
            device.topics: asyncio.Queue() for device in self.devices
        }
        self._limit = asyncio.Semaphore(TOGETHER)
        if len(self._queues) < len(self.devices):
            raise ValueError("two devices have the same topic: each needs one of its own")

    async def run(self) -> bool:
        """All of it; whether every device has it now. Raises MQTTError when the connection cannot be made."""
        listening = asyncio.create_task(self._listen())
        try:
            for device in self.devices:
                for name in ("state", "want"):
                    await self.client.subscribe(f"{device.topics}/update/{name}", 1)
            await asyncio.sleep(SETTLE_S)
            stages = self.stages.of(len(self.devices))
            for number, stage in enumerate(stages, 1):
                self.tell_stage(number, len(stages), len(stage))
                pushing = [asyncio.create_task(self._push(self.progress[index])) for index in stage]
                await self._all(pushing, listening)
                if self.failures > self.stages.failures_max:
                    return False
            return all(progress.phase in DONE for progress in self.progress)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    @property
    def failures(self) -> int:
        """Devices that have failed so far."""
        return sum(progress.phase in FAILED for progress in self.progress)

    @staticmethod
    async def _all(tasks: "Iterable[asyncio.Task[None]]", listening: "asyncio.Task[None]") -> None:
        """Wait for all; when one raises, or the connection is given up, for none."""
        waiting = {*tasks, listening}
        try:
            while waiting > {listening}:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if listening in done:
                    raise ConnectionError("the connection to the broker has ended")
        finally:
            for task in waiting - {listening}:
                task.cancel()

    async def _listen(self) -> None:
        async for message in self.client:
            topic, _, name = message.topic.rpartition("/update/")
            if topic in self._queues:
                self._queues[topic].put_nowait((name, _payload(message)))

    # -- one device

    async def _push(self, progress: Progress) -> None:
        async with self._limit:
            device = progress.device
            queue = self._queues[device.topics]
            update, count = self._resumed(progress, queue)
            if update and progress.phase in DONE:
                self.tell(progress)
                return
            update = update or self.make(device, self.next_count(device, count + 1))
            await self._send(progress, update, queue)
            self.tell(progress)

    def _resumed(self, progress: Progress, queue: "asyncio.Queue[tuple[str, bytes]]") -> tuple[Update | None, int]:
        """The update that a device says it has begun, or has, when it is this one; and the largest number that it has
        seen, which a computer whose clock is behind does not know.
        """
        found, largest = None, 0
        while not queue.empty():
            name, payload = queue.get_nowait()
            state = _state(payload) if name == "state" else {}
            progress.release = str(state.get("release", progress.release))
            count = state.get("count")
            if not isinstance(count, int) or not 0 < count < COUNT_MAX:
                continue
            largest = max(largest, count)
            update = self.make(progress.device, count)
            if state.get("id") == update.id.hex() and state.get("state") in ("receiving", "trial", "good"):
                found = update
                if state["state"] == "good":
                    progress.phase = "there"
        return found, largest

    async def _send(self, progress: Progress, update: Update, queue: "asyncio.Queue[tuple[str, bytes]]") -> None:
        """Offer an update, and send what is wanted until it is good, or not."""
        topic = progress.device.topics
        manifest, blocks = update.manifest, update.blocks()
        again_s = AGAIN_S
        last = time.monotonic()
        await self.client.publish(f"{topic}/update", manifest, 1)
        while progress.phase not in (*DONE, *FAILED):
            left_s = last + self.stages.wait_s - time.monotonic()
            try:
                name, payload = await asyncio.wait_for(queue.get(), max(0.0, min(again_s, left_s)))
            except TimeoutError:
                if left_s <= again_s:
                    progress.phase, progress.why = "silent", f"nothing was heard for {self.stages.wait_s:g} s"
                elif progress.phase != "trial":
                    again_s = min(2 * again_s, AGAIN_MAX_S)
                    await self.client.publish(f"{topic}/update", manifest, 1)
                continue
            if name == "want":
                if not await self._answer(progress, update, blocks, payload):
                    continue
            elif not self._stands(progress, update, payload):
                continue
            again_s, last = AGAIN_S, time.monotonic()
            self.tell(progress)

    async def _answer(self, progress: Progress, update: Update, blocks: Blocks, payload: bytes) -> bool:
        """Send what a want names; whether it was of this update."""
        try:
            want = Want.parse(payload)
        except ValueError:
            return False
        if want.id != update.id:
            return False
        progress.phase = "sending"
        for item, index in want.blocks:
            block = blocks.get(item, index)
            if block is not None:
                await self.client.publish(f"{progress.device.topics}/update/block", block, 1)
                progress.blocks_sent += 1
        if all(item for item, _ in want.blocks):  # while the list is on its way, nobody knows how much there is
            progress.left = want.left
            progress.total = max(progress.total, want.left)
        return True

    def _stands(self, progress: Progress, update: Update, payload: bytes) -> bool:
        """A device says how it stands; whether that is about this update."""
        state = _state(payload)
        progress.release = str(state.get("release", progress.release))
        if state.get("id") != update.id.hex():
            return False
        now = state.get("state")
        if now in ("trial", "good"):
            progress.phase = now
        elif now in ("refused", "back"):
            progress.phase = "failed"
            progress.why = str(state.get("why", "it says no more"))
            if now == "back":
                progress.why = f"back on the old one: {progress.why}"
        return now in ("receiving", "trial", "good", "refused", "back")


def _payload(message: Message) -> bytes:
    return bytes(message.payload)


def _state(payload: bytes) -> dict[str, Any]:
    """What a state message says; nothing when it is none."""
    try:
        state = json.loads(payload)
    except ValueError:
        return {}
    return state if isinstance(state, dict) else {}


async def states(client: Client, devices: Sequence[Device], wait_s: float = SETTLE_S) -> dict[str, dict[str, Any]]:
    """What devices have said last of their updates, by name; those that have said nothing are not in it."""
    names = {f"{device.topics}/update/state": device.name for device in devices}
    found: dict[str, dict[str, Any]] = {}

    async def listen() -> None:
        async for message in client:
            if message.topic in names and (state := _state(_payload(message))):
                found[names[message.topic]] = state

    listening = asyncio.create_task(listen())
    try:
        for topic in names:
            await client.subscribe(topic, 1)
        await asyncio.sleep(wait_s)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    return found
