"""In what state a world is when a fault happens, and what comes of it: what a step alone does not tell.

Both stand behind the point of the fault, as `broker, after PUBREC [producer sends again]` and
`...; the identifier of a PUBREL is gone`. benchmarks/fault_points.py gives them names.
"""

from ...client import Client
from ...core import session as core
from ...core.session import Session
from ..net.packets import Packet
from .steps import Steps


def now(run: Steps) -> str:
    """What is so at this moment, in brackets; "" when nothing is worth a word."""
    words = [f"{name} opens its store" + " again" * (run.world.processes[name].life > 1) for name in run.opening]
    for name, session in _senders(run):
        words += [f"{name} {what}" for what in _of(session)]
    return " [" + ", ".join(words) + "]" if words else ""


def _senders(run: Steps) -> list[tuple[str, Session]]:
    """Who sends messages and is connected."""
    found = []
    client, broker = run.clients.get(run.producer.name), run.brokers.get(run.broker.name)
    if client and run.producer.alive and client.is_connected:
        found.append(("producer", client._life.session))
    consumer = broker.engine.sessions.get(run.consumer.name.encode()) if broker and run.broker.alive else None
    if consumer and consumer.peer:
        found.append(("broker", consumer.session))
    return found


def _of(session: Session) -> list[str]:
    found = []
    if session.unfinished and session.first < session.sent_before:
        found.append("sends again")
    if session.sent < session.next:
        if session.unfinished >= session.window:
            found.append("has more than the window")
        if session.sent - session.first >= core.SPAN:
            found.append("has no identifier left")
    if session.unfinished and session.first // core.SPAN < (session.sent - 1) // core.SPAN:
        found.append("begins with the first identifier again")
    return found


class Consequences:
    """Of a fault, from the packets that are written after it."""

    def __init__(self, run: Steps) -> None:
        self._run = run
        self._held: dict[str, set[int]] = {}  # identifiers that were not released, by sender and receiver
        self._at = (0, "")  # when and on which way packets were written last, and
        self._together = 0  # how many at once

    def see(self, packet: Packet) -> None:
        """A packet was written."""
        run, way, kind = self._run, packet.way, packet.kind
        hosts = f"{way.source.process.name} {way.sink.process.name}"
        if kind == "PUBLISH" and run.happened:
            for name, session in _senders(run):
                for what in _of(session):
                    run.tell(f"{name} {what}")
        elif kind == "PUBREC":
            back = f"{way.sink.process.name} {way.source.process.name}"
            self._held.setdefault(back, set()).add(int.from_bytes(packet.data[2:4], "big"))
        elif kind == "PUBREL":
            self._held.setdefault(hosts, set())
        elif kind == "PUBCOMP":
            number = int.from_bytes(packet.data[2:4], "big")
            held = self._held.get(f"{way.sink.process.name} {way.source.process.name}", set())
            if number in held:
                held.discard(number)
            else:
                run.tell("the identifier of a PUBREL is gone")
        elif kind == "CONNECT":
            others = run.world.network.connections.values()
            for one in others:
                if one is not way.connection and one.hosts == way.connection.hosts and not one.server.is_over:
                    run.tell("a half-open connection is taken over")
        at = (run.world.now + run.world.ahead, way.name)
        self._together = self._together + 1 if at == self._at else 1
        self._at = at
        if self._together == 3:
            run.tell("many packets are read at once")

    def publishing(self, client: Client) -> None:
        """A producer is about to publish."""
        session = client._life.session
        if not client.is_connected:
            self._run.tell("a message is published before CONNACK")
        elif session.unfinished and session.first < session.sent_before:
            self._run.tell("a message is published while others are sent again")
