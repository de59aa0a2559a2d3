"""Messages that come together go together: the router's way for a run of them (runs.py). Imports retaining, batch.

A message is encoded once for each QoS, and everybody who gets it shares those bytes.
"""

from typing import Any

from ..clients.broker_store import copied
from ..clients.client_session import BY_FORM, PLAIN4, PLAIN5
from ..counting.ledger import MESSAGE
from ..messages.batch import Batch
from ..messages.heads import heads5
from .repeats import ENVELOPE
from .retaining import Retaining
from .route import Group, Route

HEAD_MAX = 7  # bytes of the start of a PUBLISH, beside its topic name
SMALL = 1024  # bytes of a payload, above which output lists are also counted in bytes


class RunRouter(Retaining):
    """Of runs of messages of which nothing is to be asked."""

    # Bytes of QoS 0, of large messages, since the shell has written: it writes before they are too many.
    unwritten = 0

    def known_route(self, topic: bytes) -> Route | None:
        """The route of a topic, if there is one already."""
        return self._routes.get(topic)

    def publish_all(
        self, publisher: Any, flags: int, route: Route, payloads: list[bytes], whole: bytes, is_even: bool
    ) -> int:
        """As `publish`, of each, up to the one that might find no room, or have its publisher held back; how many, no
        less than two. `flags`: QoS, no RETAIN. `whole`: at QoS 0, the packets as they came; or empty. `is_even`: all
        are known to have one length.
        """
        count = len(payloads)
        groups = route.groups.get(flags) or route.group(flags)
        longest = len(payloads[0])
        if not is_even:
            sizes = list(map(len, payloads))
            is_even = sizes.count(longest) == count
            longest = max(sizes)
        if flags:
            cost = longest + len(route.topic) + HEAD_MAX + MESSAGE  # of each, at most
            if not self._has_room_for_all(route, payloads, cost):
                return 0
            fitting = self._fitting(groups, route.fan, count, cost)
            if fitting < count:
                if fitting < 2:
                    return 0
                count = fitting
                payloads = payloads[:count]
        form = PLAIN5 if publisher.is5 else PLAIN4
        stats = self._stats
        stats.messages_received += count
        dirty = self._dirty
        for qos, clients, number, speech in groups:
            self.work += number * count
            if qos:
                key = len(payloads[0]) << 2 | qos
                if is_even:
                    head, cost = route.heads.get(key) or route.head(key)
                    batch = Batch([head] * count, payloads, True)
                    costs = [cost] * count
                else:
                    heads = [route.heads.get(len(p) << 2 | qos) or route.head(len(p) << 2 | qos) for p in payloads]
                    batch = Batch([head for head, _ in heads], payloads, False)
                    costs = [cost for _, cost in heads]
                size = sum(costs)
                for client in clients:
                    session = client.session
                    session.room -= size
                    session.sizes.extend(costs)
                    session.publish_all(batch)
                    if client.peer is not None:
                        dirty[client.peer] = None
                stats.messages_sent += count * number
                self.ledger.queued += size * number
                continue
            data = whole
            if not whole or speech != form:
                pieces = []
                for payload in payloads:
                    key = len(payload) << 2
                    head, _ = route.heads.get(key) or route.head(key)
                    if speech == BY_FORM:
                        for client in clients:
                            self.send(client, head, payload, b"")
                    pieces.append(heads5(head) if speech else head)
                    pieces.append(payload)
                if speech == BY_FORM:
                    continue
                data = b"".join(pieces)
            if longest > SMALL:
                self.unwritten += len(data) * number
            for client in clients:
                peer = client.peer
                if peer is not None and peer.writable:
                    peer.out.append(data)
                    dirty[peer] = None
                    stats.messages_sent += count
                elif peer is None:
                    stats.dropped_offline += count
                else:
                    for _ in payloads:
                        self.backpressure.drop(client, "write_buffer_bytes", self.now)
        return count

    def _has_room_for_all(self, route: Route, payloads: list[bytes], cost: int) -> bool:
        """Whether the store surely has; False also where one of them may be a repeat."""
        if self.repeats is not None and ENVELOPE in [payload[:1] for payload in payloads]:
            return False
        return not self._store or self._store.fits_all(copied(cost, max(1, route.stored)), len(payloads))

    def _fitting(self, groups: list[Group], fan: int, count: int, cost: int) -> int:
        """How many of `count` messages, `cost` bytes each, can be queued before anything has to be decided."""
        if self._tight:
            return 0
        count = min(count, (self._near - self.ledger.queued) // (cost * fan))
        behind = self.backpressure.behind
        for qos, clients, _, _ in groups:
            for client in clients if qos else ():
                session = client.session
                peer = client.peer
                if peer is not None and not peer.writable:
                    return 0
                # Nobody is held back for who is away, or a second time for who is behind.
                least = client.hold_room if peer and (client.hold_left > 0 or client not in behind) else 0
                room = least + count * cost
                if session.room < room and session.settle() < room:
                    count = (session.room - least) // cost
        return count
