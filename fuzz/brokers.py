"""The broker's engine among clients that send any bytes, in all three versions: nothing that one of them does costs
another anything, and when they are gone nothing of theirs is left.

`one(data)`: a script for four connections, as in scripts.py. Beside them are two clients of ours, one in each version,
that have subscribed to everything and speak to the broker with the client's end of our own core: what the broker writes
to them has to make sense to it.
"""

from binascii import crc32
from typing import Any

from mqttlite.core import wire4, wire5
from mqttlite.core.codec import packet, prefixed
from mqttlite.core.parser import Parser
from mqttlite.core.properties import with_properties
from mqttlite.core.session import Session
from tests.broker.world import Wire, World
from tests.core.ends import Application

from .scripts import steps

SLOTS = 4
STEPS_MAX = 60
WAITS_MS = (1, 500, 1000, 5000, 20_000, 61_000, 3_600_000, 90_000_000)
LIMITS = {
    "queue_bytes": 20_000,
    "queues_bytes": 100_000,
    "packet_bytes": 5000,
    "retained_bytes": 30_000,
    "filters_bytes": 30_000,
    "takeovers_a_minute": 1000,
    "inbound": 50,
}
NEVER_MS = 400 * 86_400_000  # longer than any session lasts


class _Witness(Application):
    """A client of ours that takes everything. `got`: flags, topic, payload, properties."""

    def __init__(self, world: World, version: Any, name: str) -> None:
        super().__init__(session=Session(), wire=version, client_id=name.encode(), keep_alive_s=0)
        self.got: list[tuple[int, bytes, bytes, bytes]] = []
        self.wire = Wire(world, name)
        self.client.connect(world.now)
        self.exchange()
        self.client.subscribe(b"#", 2)
        self.exchange()

    def on_message(
        self, flags: int, topic: bytes, payload: bytes, packet_id: int, generation: int, properties: bytes, /
    ) -> None:
        self.got.append((flags, topic, payload, properties))
        if packet_id:
            self.client.session.handled(packet_id, generation)

    def on_suback(self, topic_filter: bytes, code: int, /) -> None:
        assert code == 2

    def on_finished(self, seq: int, outcome: int, /) -> None:
        assert not outcome

    def exchange(self) -> None:
        """Until neither end has anything to say."""
        client, wire = self.client, self.wire
        while client.out or wire._bytes:
            up = b"".join(client.out)
            client.out.clear()
            if up:
                wire.raw(up)
            down = bytes(wire._bytes)
            wire._bytes.clear()
            if down:
                client.receive(down, wire.world.now)
        assert not wire.closed and client.is_connected
        client.session.check()


def _well_framed(wire: Wire) -> None:
    """What was written to a client is whole packets."""
    parser = Parser(1 << 20)
    parser.feed(bytes(wire._bytes))
    wire._bytes.clear()
    while parser.next():
        pass
    assert parser.end == len(parser.buf) or not parser.buf


def one(data: bytes) -> None:
    """See the module's text. AssertionError, or any other error, where the broker is wrong. One in four happens twice:
    what is read at once has to mean what it means in pieces. In one of four, the broker says in $SYS how it is, to its
    witnesses, too: that takes as long as all the rest.
    """
    which = crc32(data)
    whole = _played(data, len(data) + 1, which)
    if not which & 3:
        cut_up = _played(data, 1 + len(data) % 7, which)
        assert whole == cut_up, f"in one read {whole}\nin pieces {cut_up}"


def _played(data: bytes, piece: int, which: int) -> list[list[tuple[int, bytes, bytes, bytes]]]:
    """What the witnesses got, when at most so many bytes are read at once."""
    world = World(**LIMITS)
    engine = world.engine
    if which & 12:
        engine._status.update = lambda now: None  # type: ignore[method-assign]
    witnesses = [_Witness(world, wire4, "witness4"), _Witness(world, wire5, "witness5")]
    slots: list[Wire | None] = [None] * SLOTS
    names = [f"slot {slot}" for slot in range(SLOTS)]
    for arrived in steps(data, world, slots, names, lambda step: WAITS_MS[step // SLOTS // 8 % 8], STEPS_MAX):
        if arrived:
            wire, read = arrived
            for begin in range(0, len(read), piece):
                if not wire.closed:
                    wire.raw(read[begin : begin + piece])
            _well_framed(wire)
        for witness in witnesses:
            witness.exchange()
        for client in engine.sessions.values():
            client.session.check()
            assert len(client.session.inbound) <= client.session.inbound_max
    assert engine.stats.failures == 0
    _still_serves(world, witnesses)
    _leaves_nothing(world, slots, witnesses)
    return [witness.got for witness in witnesses]


def _still_serves(world: World, witnesses: list[_Witness]) -> None:
    """What one of ours publishes, both get."""
    world.wait(30_000)  # whoever has held them back does not any more
    for witness in witnesses:
        witness.exchange()
    before = [len(witness.got) for witness in witnesses]
    for qos in (0, 1, 2):
        witnesses[0].client.publish(qos << 1, b"still/here", b"x")
        for _ in range(2):
            for witness in witnesses:
                witness.exchange()
    assert [len(witness.got) for witness in witnesses] == [count + 3 for count in before]
    assert not witnesses[0].client.session.messages


def _leaves_nothing(world: World, slots: list[Wire | None], witnesses: list[_Witness]) -> None:
    engine = world.engine
    for wire in slots:
        if wire and not wire.closed:
            wire.cut()
    for _ in range(3):  # sessions end, and with them wills are published
        world.wait(NEVER_MS)
        for witness in witnesses:
            witness.exchange()
    for witness in witnesses:
        witness.client.subscribe(b"#", -1)
        witness.exchange()
        assert not witness.client.session.messages and not witness.client.session.inbound
    assert set(engine.sessions) == {b"witness4", b"witness5"} and len(engine.peers) == 2
    assert not engine.wills.waiting and not engine.half_open and not engine.busy
    accounts = dict(engine.ledger.accounts())
    del accounts["retained"], accounts["routes"]
    assert not any(accounts.values()), accounts
    assert engine.stats.failures == 0


def script(*steps: tuple[int, int, bytes]) -> bytes:
    """The input for these steps: what, slot, and what it takes."""
    return b"".join(
        bytes((slot + SLOTS * what, len(read))) + read if what < 5 else bytes((slot + SLOTS * what,)) + read
        for what, slot, read in steps
    )


def _feed(slot: int, *packets: bytes) -> tuple[int, int, bytes]:
    return 0, slot, b"".join(packets)


def _wait(which: int) -> tuple[int, int, bytes]:
    return 6 + 8 * which, 0, b""


def connect5(client_id: bytes, block: bytes = b"", flags: int = 2, rest: bytes = b"") -> bytes:
    """A CONNECT of 5.0."""
    return packet(0x10, b"\0\4MQTT\5" + bytes((flags,)) + b"\0\0" + with_properties(block, prefixed(client_id)) + rest)


def subscribe5(topic_filter: bytes, options: int, block: bytes = b"") -> bytes:
    """A SUBSCRIBE of 5.0."""
    return packet(0x82, b"\0\1" + with_properties(block, prefixed(topic_filter) + bytes((options,))))


def publish5(topic: bytes, qos: int, block: bytes = b"", number: int = 1, retain: bool = False) -> bytes:
    """A PUBLISH of 5.0."""
    identifier = number.to_bytes(2, "big") if qos else b""
    return packet(0x30 | qos << 1 | retain, prefixed(topic) + identifier + with_properties(block, b"payload"))


def seeds() -> list[bytes]:
    """Scripts to begin with: what 5.0 has, once each."""
    stays = b"\x11\0\0\0\x1e"
    will = with_properties(b"\x18\0\0\0\5\x02\0\0\0\7", prefixed(b"w") + prefixed(b"gone"))
    expires = b"\x02\0\0\0\2"
    old = b"\x10\x0d\0\4MQTT\4\0\0\0\0\1a"
    share = b"$share/s/t"
    return [
        script(
            _feed(0, connect5(b"a", stays, 0), subscribe5(b"t", 2, b"\x0b\7"), subscribe5(b"#", 0x1D)),
            _feed(1, connect5(b"b"), *(publish5(b"t", qos, b"\x26\0\1n\0\1v", 1 + qos) for qos in range(3))),
            _feed(1, b"\x62\2\0\3"),
            (5, 0, b""),
            _feed(1, publish5(b"t", 1, expires, 9)),
            _wait(3),
            _feed(2, old),
            _feed(2, b"\x40\2\0\1\x50\2\0\2"),
        ),
        script(
            _feed(0, connect5(b"a", stays, 6, will), subscribe5(share, 1)),
            _feed(1, connect5(b"b", stays, 2), subscribe5(share, 1)),
            _feed(2, connect5(b"c", b"\x22\0\5"), *(publish5(b"t", 1, b"", number) for number in range(1, 9))),
            (5, 0, b""),
            _wait(2),
            _wait(3),
            _feed(0, connect5(b"a")),
            _feed(1, b"\xe0\2\4\0"),
        ),
        script(
            _feed(0, connect5(b"a", b"\x21\0\1\x27\0\0\0\x60\x22\0\2"), subscribe5(b"long/topic/name", 2)),
            _feed(1, connect5(b"b"), publish5(b"long/topic/name", 2, b"\x23\0\1", 1, True), b"\x62\2\0\1"),
            _feed(1, publish5(b"", 2, b"\x23\0\1", 2), b"\x62\2\0\2", publish5(b"long/topic/name", 0, expires)),
            (7, 0, b""),
            _feed(1, *(publish5(b"long/topic/name", 1, b"", number) for number in range(3, 9))),
            _wait(2),
            (7, 0, b""),
            _feed(0, b"\x50\2\0\1\x70\2\0\1\xa2\x14\0\2\0" + prefixed(b"long/topic/name"), b"\xc0\0"),
            _feed(2, connect5(b"", b"\x19\1"), subscribe5(b"#", 2), b"\xe0\7\0\5\x11\0\0\0\0"),
        ),
    ]
