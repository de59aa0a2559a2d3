"""Back-pressure: a connected client that takes less than it is sent makes its publishers wait, and nothing is dropped.

- A client is *behind* while its write buffer is full or its session holds more unsent messages than the limit. Whoever
  publishes QoS 1 or 2 to it is then not read until it has caught up. What was read already is still processed, so a
  queue can pass its limit by what one read holds.
- Not reading a publisher also leaves its acknowledgements unread. If the client waits for that publisher in turn,
  directly or over others, both would wait for ever; likewise a client that publishes to itself. Such a publisher is not
  made to wait; should the queue then reach `queue_hard` times its limit, the publisher is disconnected before its
  message is acknowledged.
- A client that makes others wait and gets nowhere for `stall_ms` is disconnected: it must not stop the whole house.

Imports peer, sessions, limits, stats.
"""

from .limits import LimitError, Limits
from .peer import Peer
from .sessions import ClientSession
from .stats import Watch


class Flow:
    """Who waits for whom. `dirty`: peers that the shell has to look at."""

    def __init__(self, limits: Limits, watch: Watch, dirty: dict[Peer, None]) -> None:
        self._limits = limits
        self._watch = watch
        self._dirty = dirty
        self.behind: dict[ClientSession, None] = {}  # connected clients that are behind
        self.overfull: dict[ClientSession, None] = {}  # of these, the ones over the hard limit

    def queued(self, client: ClientSession, size: int, publisher: Peer | None, now: int) -> None:
        """A message of `size` bytes for `client`, connected, could not be sent at once; it came from `publisher`."""
        limits = self._limits
        unsent = client.unsent
        client.behind_bytes = client.behind_bytes + size if unsent > 1 else size
        peer = client.peer
        if unsent <= limits.queue_messages and client.behind_bytes <= limits.queue_bytes and peer and peer.writable:
            return
        if client not in self.behind:
            self.behind[client] = None
            client.mark = ()
            client.marked_at = now
        hard = limits.queue_hard
        if unsent >= limits.queue_messages * hard or client.behind_bytes >= limits.queue_bytes * hard:
            self.overfull[client] = None
        if publisher is None or client in publisher.waits_for or _waits(client, publisher):
            return
        publisher.waits_for[client] = None
        client.waiting[publisher] = None
        self._dirty[publisher] = None
        self._watch.hit("queue_messages", client, f"is slow: {publisher} has to wait for it", now)

    def refuse_overfull(self, clients: "list[ClientSession]", publisher: Peer | None) -> None:
        """LimitError when a message for `clients` would go to one whose queue is over the hard limit."""
        for client in clients:
            if client in self.overfull and publisher is not None:
                raise LimitError(f"the queue of {client} is full and cannot be emptied while {publisher} is not read")

    def caught_up(self, client: ClientSession, now: int) -> bool:
        """Whether `client` has room again (half its limit, lest it is back at once); then its publishers go on."""
        peer = client.peer
        if peer is not None:
            limits = self._limits
            if not peer.writable or client.unsent > limits.queue_messages // 2:
                return False
            client.behind_bytes = queued_bytes(client, client.state.sent)
            if client.behind_bytes > limits.queue_bytes // 2:
                return False
        self.forget(client, now)
        return True

    def forget(self, client: ClientSession, now: int) -> None:
        """Nobody has to wait for `client` any more."""
        self.behind.pop(client, None)
        self.overfull.pop(client, None)
        for publisher in client.waiting:
            del publisher.waits_for[client]
            if not publisher.waits_for:
                publisher.received_at = now  # its silence was our doing
                self._dirty[publisher] = None
        client.waiting.clear()

    def gone(self, publisher: Peer) -> None:
        """`publisher` is closed and waits for nobody any more."""
        for client in publisher.waits_for:
            del client.waiting[publisher]
        publisher.waits_for.clear()

    def stalled(self, now: int) -> "list[ClientSession]":
        """Clients for which others wait and which have taken nothing for too long."""
        found = []
        for client in self.behind:
            peer = client.peer
            if peer is None or peer.waits_for or not client.waiting:  # not read: not its fault
                client.marked_at = now
                continue
            mark = (client.state.first, client.state.sent, client.state.unfinished, peer.unwritten())
            if mark != client.mark:
                client.mark = mark
                client.marked_at = now
            elif now - client.marked_at >= self._limits.stall_ms:
                found.append(client)
        return found


def queued_bytes(client: ClientSession, first: int) -> int:
    """Bytes of the messages that the session keeps, from sequence number `first` on."""
    messages = client.state.messages
    return sum(len(m[0]) + len(m[1]) for seq, m in messages.items() if seq >= first)


def _waits(client: ClientSession, publisher: Peer) -> bool:
    """Whether `client` catches up only while `publisher` is read: it is the same, or waits for it at any distance."""
    seen = {client}
    ahead = [client]
    while ahead:
        peer = ahead.pop().peer
        if peer is publisher:
            return True
        if peer is not None:
            new = [other for other in peer.waits_for if other not in seen]
            seen.update(new)
            ahead += new
    return False
