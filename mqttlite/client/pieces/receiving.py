"""Payloads that are taken piece by piece as they arrive (BaseClient.receive_stream): see inflow.py. Both runtimes."""

from ...core import const
from ...core.features import HOST, KEYS, V5
from ...core.flowing import take_by
from .inflow import Inflow, Taker
from .message import StreamedMessage

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..face import BaseClient


def inflow(client: "BaseClient") -> Inflow:
    """The one of a client."""
    connector = client._connector
    if connector.inflow is not None:
        return connector.inflow  # type: ignore[return-value]
    kind = Inflow
    if KEYS and client._incoming.keys:
        from .keyed import KeyedInflow

        kind = KeyedInflow
    found = connector.inflow = client._incoming.inflow = kind(connector)
    life = client._life
    take_by(life.protocol, found)
    if HOST:
        on_message = life.on_message

        def give(first: int, topic: bytes, payload: bytes, *more: "object") -> None:
            if not (found.takers and found.whole(first, topic, payload, *more)):  # type: ignore[arg-type]
                on_message(first, topic, payload, *more)

        life.on_message = give
    return found


async def receive_stream(
    client: "BaseClient",
    topic_filter: str,
    sink: "Callable[[StreamedMessage], Awaitable[None]]",
    qos: int,
    timeout_s: float,
) -> None:
    """See BaseClient.receive_stream."""
    if V5 and client._outgoing.flags & 2 and not client._life.protocol.stream_max:
        raise ValueError(
            "in MQTT 5.0 a broker does not send what is larger than the client takes: write Client(..., stream_max=...)"
        )
    protocol = client._life.protocol
    if not (protocol.stream_max or protocol.clean_session):
        raise ValueError(
            "what the broker has kept for the session comes before receive_stream is called, and would be read past: "
            "write Client(..., stream_max=...)"
        )
    name = topic_filter.encode()
    if name.startswith((b"$share/", b"$queue/", b"$stream/")):  # the last two may leave out what is inside
        name = (name.split(b"/", 2)[2:] or [b"#"])[0]
    taker = Taker(name)
    flow = inflow(client)
    flow.timeout_s = max(flow.timeout_s, timeout_s)
    flow.takers.append(taker)
    flow.fetch(taker)
    try:
        await client.subscribe(topic_filter, qos)
        await flow.run(taker, sink)
    finally:
        flow.takers.remove(taker)
        for message in taker.queue:
            if HOST:
                flow.leave(message)
            else:
                flow._let_go(message)
