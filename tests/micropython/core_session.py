"""Two sessions over a line that is cut at any byte, as a script for MicroPython (it runs on CPython too).

The same schedule everywhere, from a generator of its own. Ends with "all done" and what was counted, for a comparison.
"""

import gc

from mqttlite.core import wire4
from mqttlite.core.codec import publish_head
from mqttlite.core.connection import Connection
from mqttlite.core.session import Session

if hasattr(gc, "threshold"):  # as docs/board.md has boards do it: collected often, the heap stays in one piece
    gc.threshold(1024)


class Dice:
    def __init__(self, seed):
        self.value = seed

    def roll(self, sides):
        self.value = (self.value * 75 + 74) % 65537
        return self.value % sides


class End(Connection):
    """A session, its connection and its application."""

    def __init__(self, window):
        Connection.__init__(self, 200)
        self.wire = wire4
        self.session = Session(window, window)
        self.session.on_finished = self.on_finished
        self.arriving = b""
        self.inbox = []
        self.got = {}
        self.newest = -1
        self.finished = 0

    def check_topic(self, topic):
        assert topic == b"t"

    def control(self, first, buf, start, end, now):
        raise AssertionError("packet %x" % first)

    def deliver(self, first, topic, payload, packet_id, properties):
        number = int(payload)
        before = self.got.get(number, 0)
        if not before:
            assert number > self.newest, "out of order"
            self.newest = number
        assert not before or first & 6 == 2, "QoS 2 delivered twice"
        self.got[number] = before + 1
        self.inbox.append((packet_id, self.session.generation))

    def on_finished(self, seq, in_doubt):
        assert not in_doubt
        self.finished += 1

    def open(self, session_present):
        self.parser = type(self.parser)(200)
        self.is_connected = True
        self.session.connected(self.out, session_present)

    def handle(self):
        if self.inbox:
            packet_id, generation = self.inbox.pop(0)
            self.session.handled(packet_id, generation)


def play(seed, window, messages):
    dice = Dice(seed)
    ends = (End(window), End(window))
    cuts = 0

    def write(a, b):
        b.arriving += b"".join(a.out)
        a.out.clear()

    def arrive(b, size):
        data = b.arriving[:size]
        b.arriving = b.arriving[size:]
        b.receive(data, 0)

    for end in ends:
        end.open(False)
    sent = 0
    while sent < messages:
        which = dice.roll(2)
        a, b = ends[which], ends[1 - which]
        action = dice.roll(16)
        if action < 4:
            payload = str(sent).encode()
            a.session.publish(publish_head(2 << (sent & 1), b"t", len(payload)), payload)
            sent += 1
        elif action < 8:
            write(a, b)
        elif action < 12:
            arrive(b, 1 + dice.roll(25))
        elif action < 15:
            b.handle()
        else:
            for end in ends:
                end.closed()
                end.arriving = b""
            for end in ends:
                end.open(True)
            cuts += 1
    busy = True
    while busy:
        for a, b in (ends, (ends[1], ends[0])):
            write(a, b)
            arrive(b, len(b.arriving))
            while b.inbox:
                b.handle()
        busy = ends[0].out or ends[1].out
    for end in ends:
        assert not end.session.messages and not end.session.inbound and not end.session.unfinished
    received = ends[0].got
    received.update(ends[1].got)
    assert len(received) == messages and ends[0].finished + ends[1].finished == messages
    return cuts, sum(received.values())


for window in (1, 3, 20):
    for seed in range(1, 9):
        gc.collect()
        print(window, seed, *play(seed, window, 60))
print("all done")
