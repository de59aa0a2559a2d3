"""What the link's tests share: ends that remember what happened to them, and a line between two. Both runtimes."""

from mqttlite.link.frames import CONTROL, LOG, MQTT
from mqttlite.link.link import Link
from mqttlite.link.stream import Stream
from mqttlite.sim.lines.noise import Noise
from tests.link.virtual_line import VirtualLine


class End:
    """A link whose owner writes everything down. `got[channel]` is what arrived in this session."""

    def __init__(self, epoch, consume=True, **options):
        self.link = Link(epoch, **options)
        self.consume = consume
        self.got = [bytearray() for _ in range(4)]
        self.ups = []
        self.downs = []
        self.writable = 0
        self.link.on_up = self._up
        self.link.on_down = self.downs.append
        self.link.on_data = self._data
        self.link.on_writable = self._writable

    def _up(self, peer):
        self.ups.append(peer)
        self.got = [bytearray() for _ in range(4)]

    def _data(self, channel, data):
        self.got[channel] += data
        if channel != LOG and self.consume:
            self.link.consumed(len(data))

    def _writable(self):
        self.writable += 1


class Talker:
    """A stream whose owner writes everything down, as (what, value)."""

    def __init__(self, epoch, **options):
        self.stream = Stream(Link(epoch, **options))
        self.events = []
        self.got = bytearray()
        self.stream.on_open = lambda n: self.events.append(("open", n))
        self.stream.on_opened = lambda: self.events.append(("opened", self.stream.n))
        self.stream.on_close = lambda reason: self.events.append(("close", reason))
        self.stream.on_notice = lambda reason: self.events.append(("notice", reason))
        self.stream.on_data = self._data
        self.link = self.stream.link

    def _data(self, data):
        self.got += data
        self.stream.consumed(len(data))


def until(line, condition, limit_ms=60000):
    """Lets time pass until `condition()`."""
    end = line.now + limit_ms
    while not condition():
        if line.now > end:
            raise AssertionError("does not happen within " + str(limit_ms) + " ms of virtual time")
        line.step()


def joined(a, b, **options):
    """A line between two ends (or talkers), with both links up."""
    line = VirtualLine(a.link, b.link, **options)
    until(line, lambda: a.link.up and b.link.up)
    return line


def pour(line, sender, receiver, data, channel=MQTT, limit_ms=600000):
    """Sends all of `data`, as room allows, and waits until so much has arrived."""
    end = line.now + limit_ms
    at = 0
    while len(receiver.got[channel]) < len(data):
        if at < len(data):
            at += sender.link.send(channel, data[at : at + 97])
        line.step()
        if line.now > end:
            raise AssertionError("arrived: " + str(len(receiver.got[channel])) + " of " + str(len(data)) + " bytes")


def pattern(size, start=0):
    """Bytes in which every shift shows, with many 0x00 and runs."""
    out = bytearray(size)
    for i in range(size):
        if i % 5:
            out[i] = (i * i // 7 + start + i // 251) & 255
    return out


__all__ = ["CONTROL", "LOG", "MQTT", "End", "Noise", "Talker", "joined", "pattern", "pour", "until"]
