"""The broker's engine with users, rules and tight limits, among clients of several addresses that send any bytes: once,
and quickly, so that many inputs are tried. What must hold: no client's bytes are an error of ours, the gates' books are
right, whoever comes from an address of its own gets in, and nothing is left of those who have gone.

`one(data)`: a script for eight connections, as in scripts.py.
"""

from typing import Any

from mqttlite.broker.access.access import Access
from mqttlite.broker.access.rule import Rule
from mqttlite.broker.access.rules import Rules
from mqttlite.broker.clients.peer import Peer
from mqttlite.broker.engine import Engine
from mqttlite.broker.limits import Limits
from mqttlite.core.codec import packet, prefixed
from tests.broker.world import Wire, World

from .brokers import connect5, publish5, subscribe5
from .scripts import steps

SLOTS = 8
STEPS_MAX = 80
WAITS_MS = (1, 400, 1000, 6000, 31_000, 61_000, 3_700_000, 90_000_000)
HOSTS = ("192.0.2.1", "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "127.0.0.1", "127.0.0.1", "10.0.0.9")
LIMITS = Limits(
    connections=6,
    connections_per_address=3,
    half_open=3,
    half_open_per_address=2,
    connects_per_address=3,
    connects_a_second=9,
    failed_logins_a_minute=2,
    publishes_a_second=20,
    persistent_sessions=3,
    sessions_per_user=2,
    takeovers_a_minute=2,
    queue_bytes=4000,
    queues_bytes=9000,
    packet_bytes=3000,
    retained_bytes=6000,
    filters=6,
    filters_bytes=9000,
    wildcards=2,
    all_wildcards=3,
    inbound=6,
    identifiers_bytes=4096,
    properties=6,
    user_properties=3,
    properties_bytes=200,
    address_bytes=5000,
    user_bytes=6000,
    memory_bytes=20_000,
    routes_bytes=6000,
    received_bytes=5000,
    turn_work=20,
)
RULES = Rules(
    [
        Rule("pub/#", frozenset({"publish", "subscribe", "receive"})),
        Rule("user/%u/#", frozenset({"publish", "subscribe", "receive"})),
        Rule("read/+/x", frozenset({"subscribe", "receive"}), user="u"),
        Rule("pub/secret", frozenset({"receive"}), allow=False),
    ]
)
NEVER_MS = 400 * 86_400_000


class _Users:
    def __contains__(self, name: object) -> bool:
        return name in ("u", "v")

    def groups_of(self, name: str) -> frozenset[str]:
        return frozenset()

    def quick(self, name: str, password: bytes) -> bool | None:
        return password == b"p"

    def check(self, name: str, password: bytes) -> bool:
        return password == b"p"


class _World(World):
    def __init__(self) -> None:
        self.engine = Engine(LIMITS, guard=Access(users=_Users(), rules=RULES, anonymous=True))
        self.engine._status.update = lambda now: None  # type: ignore[method-assign]  # a hundred messages a second
        self.now = 1000
        self.stats = self.engine.stats


def one(data: bytes) -> None:
    """See the module's text."""
    world = _World()
    engine = world.engine
    slots: list[Wire | None] = [None] * SLOTS
    names = [f"{host}:{slot}" for slot, host in enumerate(HOSTS)]
    for arrived in steps(data, world, slots, names, lambda step: WAITS_MS[step % SLOTS], STEPS_MAX):
        if arrived:
            wire, read = arrived
            if not wire.closed:
                wire.raw(read)
        _check(engine)
    assert engine.stats.failures == 0
    world.wait(2000)
    newcomer = world.open("198.51.100.7:1")
    newcomer.raw(packet(0x10, b"\0\4MQTT\4\2\0\x1e" + prefixed(b"newcomer")))
    assert bytes(newcomer._bytes) == b"\x20\2\0\0", "who comes from an address of its own gets in"
    _leaves_nothing(world, [*slots, newcomer])


def _check(engine: Engine) -> None:
    limits = engine.limits
    entrance: Any = engine._entrance
    assert entrance.count == len(engine.peers) <= limits.connections
    by_address: dict[str, dict[Peer, None]] = entrance.connections
    assert sum(map(len, by_address.values())) == len(engine.peers)
    assert set(entrance.half_open) == {peer for peer in engine.peers if peer.client is None}
    clients = list(engine.sessions.values())
    assert sum(not client.clean for client in clients) <= limits.persistent_sessions
    for client in clients:
        assert len(client.subscriptions) <= limits.filters and client.wildcards <= max(limits.wildcards, 16)
        assert len(client.session.inbound) <= client.session.inbound_max
        client.session.check()
    assert sum(client.wildcards for client in clients) == engine.router._wildcards
    assert sum(client.filters_bytes for client in clients) == engine.ledger.filters


def _leaves_nothing(world: World, slots: list[Wire | None]) -> None:
    engine = world.engine
    for wire in slots:
        if wire and not wire.closed:
            wire.cut()
    for _ in range(4):
        world.wait(NEVER_MS)
    assert not engine.sessions and not engine.peers and not engine.half_open and not engine.busy
    accounts = dict(engine.ledger.accounts())
    for name in ("retained", "routes", "rights"):
        accounts.pop(name, None)
    assert not any(accounts.values()), accounts
    assert not engine.budgets.full
    assert engine.stats.failures == 0


def _step(what: int, slot: int, read: bytes = b"") -> bytes:
    return bytes((slot + SLOTS * what, len(read))) + read if what < 5 else bytes((slot + SLOTS * what,)) + read


def _login(client_id: bytes, user: bytes, password: bytes = b"p", clean: bool = True) -> bytes:
    fields = prefixed(client_id) + prefixed(user) + prefixed(password)
    return packet(0x10, b"\0\4MQTT\4" + bytes((0xC0 | 2 * clean,)) + b"\0\0" + fields)


def seeds() -> list[bytes]:
    """Scripts to begin with."""
    subscribe = packet(0x82, b"\0\1" + prefixed(b"pub/+/+/+/x") + b"\1" + prefixed(b"user/u/#") + b"\2")
    return [
        b"".join(
            (
                _step(0, 0, _login(b"a", b"u", clean=False) + subscribe),
                _step(0, 2, _login(b"b", b"v") + packet(0x32, prefixed(b"pub/1/2/3/x") + b"\0\1hello")),
                _step(5, 0),
                _step(0, 2, packet(0x32, prefixed(b"pub/1/2/3/x") + b"\0\2again")),
                _step(6, 2),
                _step(0, 1, _login(b"a", b"v")),
                _step(0, 0, _login(b"a", b"u", clean=False) + b"\x40\2\0\1"),
            )
        ),
        b"".join(_step(0, slot, b"\x10" if slot % 2 else b"") for slot in range(8)) + _step(6, 3) + _step(6, 4),
        b"".join(_step(0, 3, _login(b"c", b"u", b"wrong")) for _ in range(12)) + _step(0, 3, _login(b"c", b"u")),
        b"".join(
            (
                _step(0, 5, connect5(b"d", b"\x11\0\0\0\x1e", 0) + subscribe5(b"pub/#", 1)),
                _step(
                    0,
                    6,
                    connect5(b"e"),
                ),
                _step(0, 6, publish5(b"pub/t", 1, b"\x26\0\1n\0\1v" * 5, 1)),
                _step(7, 5),
                _step(0, 6, publish5(b"pub/t", 2, b"", 2, True) + publish5(b"user/x/t", 1, b"", 3)),
                _step(0, 4, connect5(b"d", b"\x11\0\0\0\x1e", 0)),
                _step(6, 5),
            )
        ),
    ]
