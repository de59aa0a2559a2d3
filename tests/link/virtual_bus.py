"""A half-duplex bus in virtual time between a master and devices: paced, noisy; two that speak at once garble all.

Tests and the benchmark use it. No I/O, no clock.
"""

import random
from collections.abc import Callable
from typing import NamedTuple, Protocol

from mqttlite.sim.lines.noise import Noise

QUIET = Noise(0)
PORTION = 32  # bytes that arrive at once
_REMEMBERED_MS = 1000


class End(Protocol):
    """BusMaster or BusDevice."""

    def receive(self, data: bytes, now: int) -> None: ...
    def transmit(self, now: int) -> bytes | bytearray: ...
    def deadline(self) -> int: ...


class Said(NamedTuple):
    """What is on the wires from `begin` to `end` (ms)."""

    begin: float
    end: float
    data: bytes
    node: "Node"


class Node:
    """Whoever is on the bus. `noise`: of what it hears; `is_on`: it has power.

    `latency_ms`: what its adapter adds to what arrives. `cpu_ms`: what it takes for each portion that it reads,
    `reply_ms`: until what it says leaves; every `pause_every` portions `pause_ms` more, as for a garbage collection.
    """

    def __init__(
        self,
        end: End,
        *,
        latency_ms: float = 0.0,
        cpu_ms: float = 0.0,
        reply_ms: float = 0.0,
        pause_ms: float = 0.0,
        pause_every: int = 0,
    ) -> None:
        self.end = end
        self.latency_ms = latency_ms
        self.cpu_ms = cpu_ms
        self.reply_ms = reply_ms
        self.pause_ms = pause_ms
        self.pause_every = pause_every
        self.noise = QUIET
        self.is_on = True
        self.free_at = 0.0  # its driver's
        self.ready_at = 0.0  # its processor's
        self.inbox: list[tuple[float, bytes]] = []
        self.portions = 0

    def next_ms(self) -> float:
        """When it has something to do."""
        due = max(self.free_at - self.reply_ms, self.ready_at, self.end.deadline())
        if self.inbox:
            due = min(due, max(self.inbox[0][0], self.ready_at))
        return due

    def hear(self, at: float, data: bytes) -> None:
        """Bytes at its receiver."""
        if self.is_on:
            self.inbox.append((at + self.latency_ms, data))

    def read(self, now: float) -> bool:
        """Take what has arrived; True: there was something."""
        if not self.inbox or self.inbox[0][0] > now or self.ready_at > now:
            return False
        data = b""
        while self.inbox and self.inbox[0][0] <= now:
            data += self.inbox.pop(0)[1]
        self.portions += 1
        self.ready_at = now + self.cpu_ms
        if self.pause_every and self.portions % self.pause_every == 0:
            self.ready_at += self.pause_ms
        self.end.receive(self.noise.apply(data), int(now))
        return True


class VirtualBus:
    """`run` lets time pass; `now` (ms) is the time. Counters: `collisions`, `bytes` (on the wires)."""

    def __init__(self, master: Node, devices: list[Node], *, baud: int = 115200, seed: int = 1) -> None:
        self.now = 0.0
        self.master = master
        self.nodes = [master, *devices]
        self.byte_ms = 10000 / baud
        self.collisions = 0
        self.bytes = 0
        self._random = random.Random(seed)
        self._air: list[Said] = []
        self._past: list[Said] = []
        self._stranger = Node(master.end)

    def add(self, node: Node) -> None:
        """Somebody new is connected."""
        self.nodes.append(node)

    def say(self, node: Node, data: bytes) -> None:
        """Bytes leave a driver now, or behind what is leaving."""
        self.bytes += len(data)
        for at in range(0, len(data), PORTION):
            piece = bytes(data[at : at + PORTION])
            begin = max(self.now + node.reply_ms, node.free_at)
            node.free_at = begin + len(piece) * self.byte_ms
            self._air.append(Said(begin, node.free_at, piece, node))

    def stray(self, data: bytes) -> None:
        """Bytes of nobody who is known."""
        self.say(self._stranger, data)

    def _deliver(self) -> bool:
        done = [said for said in self._air if said.end <= self.now]
        if not done:
            return False
        self._past = [said for said in self._past if said.end > self.now - _REMEMBERED_MS] + done
        self._air = [said for said in self._air if said.end > self.now]
        for said in done:
            data = self._garbled(said)
            for node in self.nodes:
                if node is not said.node:
                    node.hear(said.end, data)
        return True

    def _garbled(self, said: Said) -> bytes:
        data = bytearray(said.data)
        for other in (*self._air, *self._past):
            if other.node is said.node or other.begin >= said.end or other.end <= said.begin:
                continue
            self.collisions += 1
            first = max(int((other.begin - said.begin) / self.byte_ms), 0)
            last = min(int((other.end - said.begin) / self.byte_ms) + 1, len(data))
            data[first:last] = self._random.randbytes(max(last - first, 0))
        return bytes(data)

    def step(self) -> None:
        """One moment."""
        happened = self._deliver()
        for node in self.nodes:
            if not node.is_on:
                continue
            happened |= node.read(self.now)
            if (
                node.free_at - node.reply_ms <= self.now
                and node.ready_at <= self.now
                and node.end.deadline() <= self.now
            ):
                data = node.end.transmit(int(self.now))
                if data:
                    self.say(node, bytes(data))
                    happened = True
        if not happened:
            due = min((node.next_ms() for node in self.nodes if node.is_on), default=self.now + 1)
            due = min([due, *(said.end for said in self._air if said.end > self.now)])
            self.now = max(self.now + 0.02, due)

    def run(self, ms: float) -> None:
        """Let `ms` pass."""
        end = self.now + ms
        while self.now < end:
            self.step()

    def until(self, condition: Callable[[], bool], limit_ms: float = 60_000) -> None:
        """Let time pass until `condition()`."""
        end = self.now + limit_ms
        while not condition():
            if self.now > end:
                raise AssertionError(f"does not happen within {limit_ms:g} ms of virtual time")
            self.step()
