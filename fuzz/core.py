"""Fuzzes both ends of a connection in both versions: whatever arrives, only an MQTTError comes out, and the state stays
sound.

    python -m fuzz.core --seconds 60 --seed 1
    python -m fuzz.core --seed 1 --case 4711      one case again, as a failure names it

Each case plays a stream of packets into one end, in one read and then, to a second copy of that end, in pieces: both
must tell the same to their owner, write the same, and refuse at the same place for the same reason. Afterwards the end
is connected again and must bring its messages to an end.
"""

import argparse
import contextlib
import random
import sys
import time
from typing import Any, NamedTuple

from fuzz import packets
from mqttlite.core import wire4, wire4_server, wire5_server
from mqttlite.core.codec import REMAINING_MAX, publish_head
from mqttlite.core.connection import Connection
from mqttlite.core.errors import MQTTError, ProtocolError, PublishError
from mqttlite.core.parser import Parser
from mqttlite.core.server import ServerConnection
from mqttlite.core.session import Session
from tests.core.ends import SIZE_MAX, Application, Broker, Wire
from tests.core.packets import decode
from tests.core.two_versions import BOTH, Guest, House


class Outcome(NamedTuple):
    """What an end made of a stream."""

    told: list[tuple[Any, ...]]
    written: bytes
    error: str


def outcome(end: Connection, told: list[tuple[Any, ...]], reads: list[bytes]) -> Outcome:
    error = ""
    try:
        for data in reads:
            end.receive(data, 0)
    except MQTTError as refused:
        error = str(refused)
        assert not isinstance(refused, ProtocolError) or refused.rule in error
    written = b"".join(end.out)
    if end.wire in (wire4, wire4_server):
        decode(written)  # what it writes is sound, whatever it read
    else:
        parser = Parser(REMAINING_MAX)
        parser.feed(written)
        while parser.next():
            assert parser.end <= len(written)
        assert parser.end == len(written)
    return Outcome(list(told), written, error)


def check(session: Session) -> None:
    """What must hold between any two calls, where nobody takes identifiers away."""
    session.check()
    assert len(session.inbound) <= session.inbound_max


def client_case(r: random.Random, reads: list[bytes]) -> tuple[Outcome, Application]:
    app = Application(handles=r.random() < 0.7, clean_session=r.random() < 0.3)
    client = app.client
    client.connect(0)
    if r.random() < 0.9:
        client.receive(b"\x20\x02\0\0", 0)
    for _ in range(r.randrange(4)):
        client.publish(r.choice((2, 4)), b"t", b"x")
    if r.random() < 0.5:
        client.subscribe(b"a", 1)
    if r.random() < 0.3:
        client.subscribe(b"b", -1)
    if r.random() < 0.1:
        client.disconnect()
    result = outcome(client, app.told, reads)
    check(client.session)
    return result, app


def server_case(r: random.Random, reads: list[bytes]) -> tuple[Outcome, Session | None]:
    broker = Broker()
    server = ServerConnection(broker, 0, SIZE_MAX)
    if r.random() < 0.9:
        server.receive(packets.connect(r), 0)
    if r.random() < 0.5 and server.is_connected:
        for _ in range(3):
            server.session.publish(publish_head(4, b"t", 1), b"x")
    result = outcome(server, broker.told, reads)
    session = next(iter(broker.sessions.values()), None)
    if session:
        check(session)
    server.closed()
    return result, session


def client5_case(r: random.Random, reads: list[bytes]) -> tuple[Outcome, Guest]:
    guest = Guest(House(), b"c")
    client = guest.client
    client.connect(0)
    if r.random() < 0.9:
        block = r.choice((b"", b"\x21\0\2", b"\x27\0\0\0\x40", b"\x24\1\x25\0"))
        client.receive(wire5_server.encode_connack(False, 0, properties=block), 0)
    for _ in range(r.randrange(4)):
        with contextlib.suppress(PublishError):
            client.publish(r.choice((2, 4)), b"t", b"x", properties=r.choice((b"", b"\x26\0\1n\0\1v")))
    if r.random() < 0.5:
        client.subscribe(b"a", 1)
    if r.random() < 0.3:
        client.subscribe(b"b", -1)
    if r.random() < 0.1:
        client.disconnect()
    result = outcome(client, guest.told, reads)
    check(client.session)
    return result, guest


def server5_case(r: random.Random, reads: list[bytes]) -> tuple[Outcome, Session | None]:
    house = House()
    server = ServerConnection(house, 0, SIZE_MAX, BOTH)
    if r.random() < 0.9:
        server.receive(packets.connect5(r), 0)
    house.answer = r.choice((None, None, 0x87))
    if r.random() < 0.5 and server.is_connected:
        for client_id in list(house.online):
            house.send(client_id, 2, b"t", b"x")
    result = outcome(server, house.told, reads)
    session = next(iter(house.sessions.values()), None)
    if session:
        check(session)
    server.closed()
    return result, session


def settle5(guest: Guest, session: Session | None) -> None:
    """As `settle`; `session`: the server's, if it is that one that goes on."""
    guest.client.closed()
    guest.house = House()
    if session:
        guest.house.sessions[b"c"] = session
        guest.house.filters[b"c"] = {}
    guest.arrive()
    for one in (guest.client.session, session):
        if one:
            assert not one.messages and not one.unfinished
            check(one)


def settle(app: Application, broker: Broker) -> None:
    """Both ends go on from where they are, with each other, until all is finished."""
    app.client.closed()
    wire = Wire(app, broker)
    wire.open()
    wire.run()
    assert not app.client.session.messages
    assert not app.client.session.unfinished
    check(app.client.session)


def one_case(seed: int, number: int) -> str:
    """Plays one case; returns the error that it ended with, if any."""
    case = f"{seed}.{number}"
    r = random.Random(case)
    to_server = r.random() < 0.5
    version = r.choice((4, 5))
    data = packets.stream(r, to_server, version)
    return played(case, to_server, version, data, packets.chunks(r, data))


def fed(data: bytes, to_server: bool) -> str:
    """Plays bytes that come from elsewhere (guided.py). The first two say in which state the end is that gets them."""
    case = data[:2].hex()
    version = 4 if data and data[0] % 2 else 5
    return played(case, to_server, version, data[2:], packets.chunks(random.Random(case), data[2:]))


def played(case: str, to_server: bool, version: int, data: bytes, pieces: list[bytes]) -> str:
    """Plays a stream into two copies of an end, whose state is drawn from `case`; the error that it ended with."""
    if version == 5 and to_server:
        whole, kept = server5_case(random.Random(case), [data])
        cut_up, _ = server5_case(random.Random(case), pieces)
        settle5(Guest(House(), b"c"), kept)
    elif version == 5:
        whole, guest = client5_case(random.Random(case), [data])
        cut_up, _ = client5_case(random.Random(case), pieces)
        settle5(guest, None)
    elif not to_server:
        whole, app = client_case(random.Random(case), [data])
        cut_up, _ = client_case(random.Random(case), pieces)
        settle(app, Broker())
    else:
        whole, session = server_case(random.Random(case), [data])
        cut_up, _ = server_case(random.Random(case), pieces)
        if session:
            fresh = Broker()
            fresh.sessions[b"c"] = session
            settle(Application(), fresh)
            assert not session.messages
            assert not session.unfinished
    assert whole == cut_up, f"in one read {whole}\nin pieces {cut_up}"
    return whole.error


def run(seed: int, first: int, count: int) -> dict[str, int]:
    """Plays `count` cases; returns how often each rule refused. A fault is raised with its case in a note."""
    refused: dict[str, int] = {}
    for number in range(first, first + count):
        try:
            error = one_case(seed, number)
        except Exception as fault:
            fault.add_note(f"python -m fuzz.core --seed {seed} --case {number}")
            raise
        rule = error.rpartition("[")[2].rstrip("]")
        refused[rule] = refused.get(rule, 0) + 1
    return refused


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz.core", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int, help="play this one alone")
    options = parser.parse_args()
    if options.case is not None:
        print(one_case(options.seed, options.case) or "accepted")
        return 0
    end = time.monotonic() + options.seconds
    number = 0
    refused: dict[str, int] = {}
    while time.monotonic() < end:
        for rule, count in run(options.seed, number, 1000).items():
            refused[rule] = refused.get(rule, 0) + count
        number += 1000
    print(f"{number} cases, seed {options.seed}; refused by rule:")
    for rule, count in sorted(refused.items(), key=lambda item: -item[1]):
        print(f"  {count:>8}  {rule or '(accepted)'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
