"""What a client has done until now: `client.statistics()`. Host only.

Nothing is counted for it that can be derived: of a message that arrives, its QoS; all else once for each read or write.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..comfort import ComfortableClient


@dataclass(frozen=True)
class ByQoS:
    """A number for each QoS; `total` of all."""

    qos0: int = 0
    qos1: int = 0
    qos2: int = 0

    @property
    def total(self) -> int:
        return self.qos0 + self.qos1 + self.qos2


@dataclass(frozen=True)
class Statistics:
    """Of one client, from its beginning to the call; it does not change.

    published, published_bytes   messages that were accepted, and their topics and payloads
    received                     messages that have arrived, repeats included that a handler was not given
    bytes_in, bytes_out          of all packets, over TCP and Unix sockets (of a serial line: `client.link_stats()`)
    queue, queue_bytes           accepted and not confirmed, now; queue_high: messages, at most until now
    inbox, inbox_bytes           arrived and not given out, those of subscriptions included; inbox_high: messages, at
                                 most
    connections                  that the broker has accepted; reconnections: but the first
    set_aside                    messages that wait for `retry` or `settle` (in doubt, or never taken)
    dropped                      messages by cause, and only causes that there were:
        not_connected    published at QoS 0 without a connection
        inbox_full       QoS 0: nobody took what had arrived
        iterator_full    the queue of a subscription was full (when_full, or QoS 0)
        oversized        larger than size_max
        unclaimed        matched no open subscription, and nobody iterated over the client
        handler_failed   a handler raised, in each of its tries
        late_answer      nobody waited for this answer any more
        given_up         not confirmed when the client was closed; a store has kept them, if there is one
    """

    published: ByQoS
    published_bytes: ByQoS
    received: ByQoS
    bytes_in: int
    bytes_out: int
    queue: int
    queue_bytes: int
    queue_high: int
    inbox: int
    inbox_bytes: int
    inbox_high: int
    connections: int
    reconnections: int
    set_aside: int
    dropped: Mapping[str, int]


def statistics(client: "ComfortableClient") -> Statistics:
    """See Client.statistics."""
    life = client._life
    outgoing = client._outgoing
    incoming = client._incoming
    waiting = list(incoming.inbox)
    if client._distribution:
        waiting += client._distribution.waiting()
    dropped = {
        "not_connected": outgoing.not_connected,
        "inbox_full": life.qos0_dropped - outgoing.not_connected,
        "oversized": life.oversized,
        "late_answer": client._requests.late if client._requests else 0,
        "given_up": outgoing.given_up,
        **client._dropped,
    }
    connector = client._connector
    return Statistics(
        published=ByQoS(*outgoing.counts),
        published_bytes=ByQoS(*outgoing.sizes),
        received=ByQoS(incoming.count0, incoming.count1, incoming.count2),
        bytes_in=connector.flow.bytes_in,
        bytes_out=connector.flow.bytes_out,
        queue=len(outgoing.receipts),
        queue_bytes=outgoing.queued_bytes(),
        queue_high=max(connector.flow.queue_high, len(outgoing.receipts)),
        inbox=len(waiting),
        inbox_bytes=sum([len(message.payload) for message in waiting]),
        inbox_high=max(connector.flow.inbox_high, len(waiting)),
        connections=connector.connections,
        reconnections=max(connector.connections - 1, 0),
        set_aside=len(life.session.doubts or ()),
        dropped=MappingProxyType({cause: count for cause, count in dropped.items() if count}),
    )
