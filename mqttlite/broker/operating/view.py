"""What there is to see of a broker, read where it is when somebody asks: numbers, clients, one session, its queue.
Imports the core; the broker for the type checker alone.

Texts of clients are as they came (str); whoever shows them to a terminal escapes them.
"""

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

from ... import __version__
from ...core.codec import topic_of
from ...core.session import SPAN
from ..clients.events import VERSIONS, user_of
from ..connections.turns import now_ms
from ..counting.stats import Stats
from ..messages.extras import deadline_of
from ..routing.shares import PREFIX

if TYPE_CHECKING:
    from ..clients.client_session import ClientSession
    from ..clients.peer import Peer
    from ..server import Broker

DROPPED = "dropped_"  # begins the names of counters of Stats, by cause
_QOS = 6  # bits of a head; both: PUBREC has come, and no PUBLISH has them so


class Totals(NamedTuple):
    """What has to be counted over all sessions."""

    connected: int = 0
    disconnected: int = 0
    persistent: int = 0
    queued: int = 0  # messages of QoS 1 and 2 that are not acknowledged, in doubt or not sent yet
    in_doubt_out: int = 0  # of these: sent, and nobody knows whether they have arrived
    in_doubt_in: int = 0  # QoS 2 from clients that have not released them
    subscriptions: int = 0
    shared: int = 0


def totals(broker: "Broker") -> Totals:
    """Counted now: as many steps as there are sessions, and subscriptions where some are shared."""
    connected = disconnected = persistent = queued = out = held = subscriptions = shared = 0
    for client in broker.engine.sessions.values():
        session = client.session
        if client.peer is None:
            disconnected += 1
        else:
            connected += 1
        persistent += not client.clean
        queued += session.queued
        out += in_doubt(client)
        held += len(session.inbound)
        subscriptions += len(client.subscriptions)
        if client.subscriptions:
            shared += sum(topic_filter.startswith(PREFIX) for topic_filter in client.subscriptions)
    return Totals(connected, disconnected, persistent, queued, out, held, subscriptions - shared, shared)


def in_doubt(client: "ClientSession") -> int:
    """How many messages were sent to it and are not acknowledged: they may have arrived or not. After a restart of the
    broker nobody knows, and it is 0 until the client comes back.
    """
    return client.session.unfinished


def status(broker: "Broker", started_at: float, now: float) -> dict[str, Any]:
    """The whole at a glance. `started_at`, `now`: seconds since 1970."""
    engine = broker.engine
    stats = engine.stats
    found = totals(broker)
    return {
        "version": __version__,
        "uptime_s": int(now - started_at),
        "addresses": list(broker.addresses),
        "store": None if broker.store is None else broker.store.path,
        "connections": len(engine.peers),
        "half_open": len(engine.half_open),
        "clients_connected": found.connected,
        "clients_disconnected": found.disconnected,
        "sessions_persistent": found.persistent,
        "subscriptions": found.subscriptions,
        "shared_subscriptions": found.shared,
        "retained": len(engine.router.retained) - len(engine.router.retained.own),
        "queued": found.queued,
        "in_doubt": found.in_doubt_out,
        "unreleased": found.in_doubt_in,
        "publishers_held_back": held_back(broker),
        "received": stats.messages_received,
        "sent": stats.messages_sent,
        "dropped": stats.messages_dropped,
        "dropped_by_cause": drops(stats),
        "bytes_received": stats.bytes_received,
        "bytes_sent": stats.bytes_sent,
        "limits": dict(sorted(stats.limits.items())),
        "held_bytes": dict(engine.ledger.accounts()),
    }


def drops(stats: Stats) -> dict[str, int]:
    """Messages that were not delivered, by cause."""
    names = [field.name for field in fields(Stats) if field.name.startswith(DROPPED)]
    return {name.removeprefix(DROPPED): getattr(stats, name) for name in names}


def held_back(broker: "Broker") -> int:
    """Connections whose PUBLISH waits for somebody."""
    return sum(bool(peer.waits_for) for peer in broker.engine.peers)


def line(client: "ClientSession", now: int) -> dict[str, Any]:
    """What is worth knowing of each of many."""
    peer = client.peer
    session = client.session
    return {
        "client": client.client_id.decode(),
        "user": user_of(peer) if peer else None,
        "address": peer.address if peer else None,
        "version": version_of(peer),
        "connected": peer is not None,
        "since_s": max(0, now - (peer.opened_at if peer else client.offline_since)) // 1000,
        "persistent": not client.clean,
        "subscriptions": len(client.subscriptions),
        "queued": session.queued,
        "queued_bytes": session.bytes if session.queued else 0,
        "in_doubt": in_doubt(client),
        "unreleased": len(session.inbound),
        "dropped": client.dropped.total(),
        "accepted": session.next,  # messages of QoS 1 and 2 for it, of all times
        "sent_bytes": peer.written if peer else None,
        "read_bytes": peer.read if peer else None,
        "held_back": bool(peer and peer.waits_for),
        "writable": peer.writable if peer else None,
    }


def version_of(peer: "Peer | None") -> str | None:
    """The version of MQTT that its client speaks."""
    return VERSIONS[peer.connect.level] if peer and peer.connect else None


def one(broker: "Broker", client: "ClientSession") -> dict[str, Any]:
    """All about one client and its session."""
    peer = client.peer
    session = client.session
    session.settle()
    found = line(client, now_ms())
    will = peer.will if peer else None
    found |= {
        "keep_alive_s": peer.keep_alive_ms // 1500 if peer else None,
        "silent_s": max(0, now_ms() - peer.received_at) // 1000 if peer else None,
        "unwritten_bytes": peer.unwritten() if peer else 0,
        "parked_bytes": peer.parked_bytes if peer else 0,
        "session_expiry_s": None if client.clean else (client.expiry_ms or broker.limits.session_expiry_ms) // 1000,
        "owner": client.owner.user if client.owner else None,
        "queue_bytes_max": session.size_max,
        "when_full": client.when_full,
        "will": will[0].decode() if will else None,
        "dropped_by_cause": dict(client.dropped),
        "filters": [
            {"filter": topic_filter.decode(), "qos": value & 3}
            for topic_filter, value in sorted(client.subscriptions.items())
        ],
    }
    return found


def queue(broker: "Broker", client: "ClientSession", numbers: range) -> Iterator[dict[str, Any]]:
    """What is queued for a client and in memory, of messages with these numbers."""
    session = client.session
    clock = broker.engine.router.clock()
    for seq in numbers:
        if seq not in session.messages:
            continue
        head, payload, extra = session.messages[seq]
        bits = head[0] & _QOS
        deadline = deadline_of(extra)
        yield {
            "seq": seq,
            "packet_id": seq % SPAN + 1,
            "state": "released" if bits == _QOS else "sent" if seq < session.sent else "queued",
            "topic": topic_of(head).decode(),
            "qos": 1 if bits == 2 else 2,
            "bytes": len(payload),
            "payload": payload[:64].decode(errors="backslashreplace"),
            "expires_s": max(0, deadline - clock) // 1000 if deadline >= 0 else None,
        }
