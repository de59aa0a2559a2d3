"""The way of messages as events: device → line → gateway → broker → consumer, acknowledgements and commands back.

Each station is a server with a queue. The broker works in turns of its event loop, each with all that has arrived
(broker/server.py), and with a store its output waits for a commit that everything shares which came meanwhile
(broker/connections/commit_gate.py, store/sqlite.py). A device commits each publication by itself, and what it is told
to release together. Times in ms; nothing here knows what a report looks like.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from . import costs, sizes
from .fleet import Fleet
from .links import Line, Radio
from .parts import Device, Group, Message, Stream, together

# What arrives at the broker
PUBLISH = 0
PUBREL = 1
HANDLED = 2  # the consumer's PUBACK or PUBCOMP
RECEIVED = 3  # its PUBREC
COMMAND = 4  # PUBLISH of a command
COMMAND_PUBREL = 5
ANSWERED = 6  # the device's PUBACK or PUBCOMP for a command
TAKEN = 7  # its PUBREC

_LEAST_SHARE = 1e-4  # of a processor, for messages


class Flow:
    """Everything, from time 0 on. `speed`: all rates times this. `outage`: gateway and broker are off, from and to."""

    def __init__(self, fleet: Fleet, seed: int, speed: float = 1.0, outage: tuple[float, float] | None = None) -> None:
        self.fleet = fleet
        self._random = random = Random(seed)
        self._speed = speed
        self._outage = outage or (math.inf, math.inf)
        self._events: list[tuple[float, int, Callable[[float, Any], None], Any]] = []
        self._number = 0
        self.now = 0.0
        self.radio = Radio(fleet.wifi, random)
        self._gateway_ms = fleet.gateway.slower * costs.GATEWAY_FRAME_US / 1000
        self._upstream_ms = fleet.gateway.latency_ms
        slower = fleet.broker.slower / 1000
        self._turn_ms = slower * costs.BROKER_TURN_US
        self._connection_ms = slower * costs.BROKER_CONNECTION_US
        self._packet_ms = slower * costs.BROKER_PACKET_US
        self._commit_ms = slower * costs.COMMIT_US
        self._record_ms = slower * costs.RECORD_US
        self._has_store = fleet.broker.store != "memory"
        consumer = fleet.consumer
        effect_ms = consumer.handler_ms + (consumer.sync_ms if consumer.inbox else 0.0)
        self._consumer_ms = [consumer.slower * us / 1000 + effect_ms for us in costs.CONSUMER_US]
        self._consumer_latency_ms = consumer.latency_ms
        # gateway
        self._gateway_free = 0.0
        self.gateway_busy_ms = 0.0
        self._stash: list[tuple[int, Message]] = []
        # broker
        self._inbox: list[tuple[int, Message]] = []
        self._turning = False
        self._debt_ms = 0.0  # processor time of commits, which share the interpreter with the event loop
        self.broker_busy_ms = 0.0
        self.deepest_inbox = 0
        self.broker_held_ms = 0.0
        self._wanted = False
        self._committing = False
        self._lazy = False
        self._lingering = False
        self._records = 0
        self._held: list[tuple[Callable[[float, Message], None], Message]] = []
        self.commits = 0
        self.disk_busy_ms = 0.0
        # consumer
        self._consumer_free = 0.0
        self._outstanding = 0
        self._queue: deque[Message] = deque()
        self.deepest_queue = 0
        self.consumer_busy_ms = 0.0
        self.consumer_syncs = 0
        self.backlog = 0  # messages due and not handled
        self.deepest_backlog = 0
        self.groups = [Group(config, len(str(config.count))) for config in fleet.devices]
        signs = sum(group.signs_per_ms(speed) for group in self.groups) * self._gateway_ms
        self._gateway_share = max(_LEAST_SHARE, 1 - signs)
        for group in self.groups:
            self._populate(group)
        if outage:
            self._push(outage[1] + costs.RECONNECT_MS, self._restored, None)

    @property
    def streams(self) -> list[Stream]:
        """Those of all groups."""
        return [stream for group in self.groups for stream in group.streams]

    def _populate(self, group: Group) -> None:
        config = group.config
        for _ in range(config.count):
            line = None
            if config.link == "serial":
                line = Line(self.fleet.serial, config.baud or self.fleet.serial.baud, self._random)
            device = Device(group, line)
            group.devices.append(device)
            for streams in together([stream for stream in group.streams if stream is not group.answer]):
                # Devices are not switched on in step, so each begins somewhere in its interval.
                first = self._random.random() * streams[0].every_ms / self._speed
                self._push(first, self._due, (device, streams))
            if group.command:
                first = self._random.random() * group.command.every_ms / self._speed
                self._push(first, self._command_due, device)

    def _push(self, at: float, what: Callable[[float, Any], None], argument: Any) -> None:
        self._number += 1
        heapq.heappush(self._events, (at, self._number, what, argument))

    def run(self, until: float) -> None:
        """Let time pass up to `until`."""
        events = self._events
        pop = heapq.heappop
        while events and events[0][0] <= until:
            now, _, what, argument = pop(events)
            self.now = now
            what(now, argument)
        self.now = until

    # -- devices

    def _interval(self, stream: Stream) -> float:
        mean = stream.every_ms / self._speed
        # No two clocks run alike, and a program's pauses even less: so devices do not stay in step for ever.
        return self._random.expovariate(1 / mean) if stream.random else mean * (0.99 + 0.02 * self._random.random())

    def _due(self, now: float, what: tuple[Device, list[Stream]]) -> None:
        device, streams = what
        self._push(now + self._interval(streams[0]), self._due, what)
        for stream in streams:
            ready = self._work(device, now, stream.burst, stream.journal_bytes * stream.burst, stream.qos > 0)
            for _ in range(stream.burst):
                self._publish(ready, Message(device, stream, now))

    def _work(self, device: Device, now: float, messages: int, journal_bytes: int, commits: bool) -> float:
        """The device's processor and store are busy with so many messages; when they are done."""
        config = device.group.config
        took = config.cpu_ms * messages
        if commits and config.store != "memory":
            took += self._commit(device, journal_bytes)
        device.free = max(device.free, now) + took
        device.busy_ms += took
        return device.free

    def _commit(self, device: Device, journal_bytes: int) -> float:
        """How long a device takes for a commit."""
        group = device.group
        before = device.flash_bytes // costs.FLASH_BLOCK
        device.flash_bytes += journal_bytes
        erases: float = device.flash_bytes // costs.FLASH_BLOCK - before
        if group.config.store == "journal":
            erases += sizes.commit_erases(journal_bytes)
        group.syncs += 1
        group.erases += sizes.erases(journal_bytes, 1, group.config.store)
        return self.fleet.flash.program_ms + erases * self.fleet.flash.erase_ms

    def _publish(self, ready: float, message: Message) -> None:
        device = message.device
        stream = message.stream
        stream.offered += 1
        self.backlog += 1
        if self.backlog > self.deepest_backlog:
            self.deepest_backlog = self.backlog
        if not stream.qos:
            self._send_up(ready, device, stream.size, PUBLISH, message)
            return
        device.unfinished += 1
        if device.unfinished > device.group.deepest:
            device.group.deepest = device.unfinished
        if device.waiting or device.inflight >= device.group.config.window:
            device.waiting.append((ready, message))
        else:
            device.inflight += 1
            self._send_up(ready, device, stream.size, PUBLISH, message)

    def _send_up(self, now: float, device: Device, size: int, kind: int, message: Message) -> None:
        line = device.line
        if line:
            line.heartbeats(now)
        way = line.up if line else self.radio
        self._push(way.send(now, size), self._at_gateway, (kind, message))

    def _finished(self, now: float, message: Message) -> None:
        """PUBACK or PUBCOMP has reached the device."""
        device = message.device
        group = device.group
        device.inflight -= 1
        device.unfinished -= 1
        group.held_ms += now - message.due
        while device.waiting and device.inflight < group.config.window:
            ready, other = device.waiting.popleft()
            device.inflight += 1
            self._send_up(max(now, ready), device, other.stream.size, PUBLISH, other)

    def _received(self, now: float, message: Message) -> None:
        """PUBREC has reached the device."""
        device = message.device
        if device.group.config.store == "memory":
            ready = now
        elif now <= device.release_begins:
            ready = device.release_ready
        else:
            device.release_begins = max(device.free, now)
            ready = device.release_ready = self._work(device, now, 0, 0, True)
        self._send_up(ready, device, sizes.ACKNOWLEDGEMENT, PUBREL, message)

    # -- gateway

    def _is_off(self, now: float) -> bool:
        return self._outage[0] <= now < self._outage[1] + costs.RECONNECT_MS

    def _at_gateway(self, now: float, packet: tuple[int, Message]) -> None:
        """Or at the access point, which only passes it on."""
        if self._is_off(now):
            self._stash.append(packet)
        else:
            self._push(self._forward(now, packet[1].device) + self._upstream_ms, self._at_broker, packet)

    def _forward(self, now: float, device: Device) -> float:
        """The gateway's processor deals with the frames of a device's line, if it has one; when it is done."""
        line = device.line
        if line is None:
            return now
        frames = line.up.frames + line.down.frames
        signs = line.signs - device.signs
        took = (frames - device.frames - signs) * self._gateway_ms
        device.frames = frames
        device.signs = line.signs
        self.gateway_busy_ms += took
        self.gateway_busy_ms += signs * self._gateway_ms
        # Those came one by one in a pause that is over: messages have what they leave of the processor.
        self._gateway_free = max(self._gateway_free, now) + took / self._gateway_share
        return self._gateway_free

    def _restored(self, now: float, _: None) -> None:
        """After an outage: what was under way is sent again."""
        stash, self._stash = self._stash, []
        for kind, message in stash:
            if kind == COMMAND:
                self._at_broker(now, (kind, message))
            else:
                size = message.stream.size if kind == PUBLISH else sizes.ACKNOWLEDGEMENT
                self._send_up(now, message.device, size, kind, message)

    def _send_down(self, now: float, message: Message, size: int, what: Callable[[float, Message], None]) -> None:
        device = message.device
        line = device.line
        if line:
            line.heartbeats(now)
        way = line.down if line else self.radio
        self._push(way.send(self._forward(now + self._upstream_ms, device), size), what, message)

    # -- broker

    def _at_broker(self, now: float, packet: tuple[int, Message]) -> None:
        self._inbox.append(packet)
        if not self._turning:
            self._turn(now)

    def _turn(self, now: float) -> None:
        """The event loop turns: everything that has arrived."""
        self._turning = True
        batch, self._inbox = self._inbox, []
        if len(batch) > self.deepest_inbox:
            self.deepest_inbox = len(batch)
        # The consumer's packets come over one connection, those of each device over its own.
        connections = 1 if len(batch) == 1 else len({m.device if k < 2 or k > 5 else None for k, m in batch})
        took = self._turn_ms + connections * self._connection_ms + len(batch) * self._packet_ms + self._debt_ms
        self._debt_ms = 0.0
        self.broker_busy_ms += took
        self._push(now + took, self._turned, batch)

    def _turned(self, now: float, batch: list[tuple[int, Message]]) -> None:
        for kind, message in batch:
            if then := _RECORDED.get(kind):
                self._record(1)
                self._out(now, partial(then, self), message)
            else:
                _PROCESS[kind](self, now, message)
        if self._wanted and not self._committing:
            self._commit_broker(now)
        if self._inbox:
            self._turn(now)
        else:
            self._turning = False

    def _record(self, records: int) -> None:
        """What the output will wait for."""
        if self._has_store:
            self._records += records
            self._wanted = True

    def _out(self, now: float, what: Callable[[float, Message], None], message: Message) -> None:
        if self._wanted or self._committing:
            self._held.append((what, message))
        else:
            what(now, message)

    def _commit_broker(self, now: float) -> None:
        held, self._held = self._held, []
        processor_ms = self._commit_ms + self._records * self._record_ms
        self._debt_ms += processor_ms
        self._records = 0
        self._wanted = self._lazy = False
        self._committing = True
        self.commits += 1
        took = self.fleet.broker.sync_ms + processor_ms
        self.disk_busy_ms += self.fleet.broker.sync_ms
        self._push(now + took, self._committed, held)

    def _committed(self, now: float, held: list[tuple[Callable[[float, Message], None], Message]]) -> None:
        self._committing = False
        for what, message in held:
            what(now, message)
        if self._wanted:
            self._commit_broker(now)
            return
        held, self._held = self._held, []
        for what, message in held:
            what(now, message)
        if self._lazy:
            self._linger(now)

    def _linger(self, now: float) -> None:
        if not self._lingering:
            self._lingering = True
            self._push(now + costs.LINGER_MS, self._lingered, None)

    def _lingered(self, now: float, _: None) -> None:
        self._lingering = False
        if self._lazy and not self._committing:
            self._commit_broker(now)

    def _done(self, now: float) -> None:
        """A record that nobody waits for."""
        if self._has_store:
            self._records += 1
            self._lazy = True
            if not self._committing:
                self._linger(now)

    def _process_publish(self, now: float, message: Message) -> None:
        qos = message.stream.qos
        if qos:
            self._record(qos)
            self._out(now, self._answer, message)
        self._out(now, self._deliver, message)

    def _process_handled(self, now: float, message: Message) -> None:
        self._done(now)
        self._outstanding -= 1
        if self._queue:
            self._consume(now, self._queue.popleft())

    def _process_command(self, now: float, message: Message) -> None:
        if self._is_off(now):
            self._stash.append((COMMAND, message))
            return
        qos = message.stream.qos
        if qos:
            self._record(qos)
            if qos == 2:
                self._push(now + 2 * self._consumer_latency_ms, self._at_broker, (COMMAND_PUBREL, message))
        self._out(now, self._command, message)

    def _process_command_pubrel(self, now: float, message: Message) -> None:
        self._record(1)

    def _process_answered(self, now: float, message: Message) -> None:
        self._done(now)

    # -- what the broker sends

    def _answer(self, now: float, message: Message) -> None:
        """PUBACK or PUBREC to the device."""
        what = self._finished if message.stream.qos == 1 else self._received
        self._send_down(now, message, sizes.ACKNOWLEDGEMENT, what)

    def _complete(self, now: float, message: Message) -> None:
        """PUBCOMP to the device."""
        self._send_down(now, message, sizes.ACKNOWLEDGEMENT, self._finished)

    def _deliver(self, now: float, message: Message) -> None:
        if message.stream.qos and (self._queue or self._outstanding >= self.fleet.broker.window):
            self._queue.append(message)
            if len(self._queue) > self.deepest_queue:
                self.deepest_queue = len(self._queue)
        else:
            self._consume(now, message)

    def _consume(self, now: float, message: Message) -> None:
        """To the consumer, which handles one message after the other."""
        stream = message.stream
        took = self._consumer_ms[stream.qos]
        self._consumer_free = max(self._consumer_free, now + self._consumer_latency_ms) + took
        self.consumer_busy_ms += took
        self.consumer_syncs += self.fleet.consumer.inbox
        self._push(self._consumer_free, self._handled, message)
        if stream.qos:
            self._outstanding += 1
            self.broker_held_ms += self._consumer_free - now

    def _handled(self, now: float, message: Message) -> None:
        stream = message.stream
        stream.finished += 1
        self.backlog -= 1
        stream.latency.add(now - message.due)
        if stream.qos:
            kind = HANDLED if stream.qos == 1 else RECEIVED
            self._push(now + self._consumer_latency_ms, self._at_broker, (kind, message))

    def _release(self, now: float, message: Message) -> None:
        """PUBREL to the consumer, whose PUBCOMP comes at once."""
        self._push(now + 2 * self._consumer_latency_ms, self._at_broker, (HANDLED, message))

    # -- commands

    def _command_due(self, now: float, device: Device) -> None:
        command = device.group.command
        assert command
        self._push(now + self._interval(command), self._command_due, device)
        command.offered += 1
        self._push(now + self._consumer_latency_ms, self._at_broker, (COMMAND, Message(device, command, now)))

    def _command(self, now: float, message: Message) -> None:
        self._send_down(now, message, message.stream.size, self._obey)

    def _obey(self, now: float, message: Message) -> None:
        """The device carries a command out, answers, acknowledges it: in this order, as a loop over messages does."""
        device = message.device
        answer = device.group.answer
        assert answer
        ready = self._work(device, now, 1, answer.journal_bytes, answer.qos > 0)
        self._publish(ready, Message(device, answer, message.due))
        if message.stream.qos:
            ready = self._work(device, ready, 0, 0, message.stream.qos == 2)
            kind = ANSWERED if message.stream.qos == 1 else TAKEN
            self._send_up(ready, device, sizes.ACKNOWLEDGEMENT, kind, message)

    def _command_release(self, now: float, message: Message) -> None:
        self._send_down(now, message, sizes.ACKNOWLEDGEMENT, self._command_complete)

    def _command_complete(self, now: float, message: Message) -> None:
        device = message.device
        self._send_up(self._work(device, now, 0, 0, True), device, sizes.ACKNOWLEDGEMENT, ANSWERED, message)


# What the broker does with a packet: a record, and when that is durable, an answer; or something else.
_RECORDED = {PUBREL: Flow._complete, RECEIVED: Flow._release, TAKEN: Flow._command_release}
_PROCESS = {
    PUBLISH: Flow._process_publish,
    HANDLED: Flow._process_handled,
    COMMAND: Flow._process_command,
    COMMAND_PUBREL: Flow._process_command_pubrel,
    ANSWERED: Flow._process_answered,
}
