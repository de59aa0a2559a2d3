"""Clients that do not keep up, and what that costs whom: their publishers a moment, themselves the rest.

- A client is *behind* while its write buffer is full, or its queue above `hold_bytes` and not all of it sent. Whoever
  publishes QoS 1 or 2 to it is then held back: its PUBLISH packets wait (parking.py), nothing else. It ends when the
  client has caught up, and after `hold_ms` in any case; there is no second time before it has caught up. So no two can
  wait for each other for longer, and nobody needs to know who waits for whom.
- After that, its queue grows up to its budget, as if it were offline. There its rule decides (limits.QueueRule).
  Connected, and with a session that dies with it or with the broker, it is disconnected first.
- All queues together have a budget, too. When it is used up, a session may still have its fair share of it: who hoards
  must not take the room of those who do not.
- A client that is behind and takes less than `min_rate` over `stall_ms` is disconnected. Likewise any connection whose
  output stands.
- What is dropped is counted by session and cause. A *gap* lasts from the first message dropped until the queue is half
  empty and nothing was dropped for a while. Drops are logged (stats.Watch) with their number, and the sum at the end.

Imports peer, ledger, limits, stats.
"""

import logging

from ..bounds.addresses import INSIDE
from ..clients.client_session import ClientSession
from ..clients.peer import Peer
from ..clients.publishing import HeldBack, StoreRoom
from ..counting.ledger import Ledger
from ..counting.stats import Stats, Watch
from ..limits import DROP_OLDEST, HOLD, REFUSE, LimitError, Limits

log = logging.getLogger("mqttlite.broker")

STRICT = (REFUSE, HOLD)  # rules that decide before anything is done about a message
GAP_MS = 10_000  # without a drop, after which a gap may be over


class Backpressure:
    """Who has to wait, and for whom there is room. `dirty`, `busy`: peers that the shell, the engine has to look at."""

    def __init__(
        self,
        limits: Limits,
        stats: Stats,
        watch: Watch,
        ledger: Ledger,
        dirty: dict[Peer, None],
        busy: dict[Peer, None],
    ) -> None:
        self._limits = limits
        self._stats = stats
        self._watch = watch
        self._ledger = ledger
        self._dirty = dirty
        self._busy = busy
        self._settle_at = 0  # bytes in all queues from which on it pays to settle them
        self.sessions: dict[bytes, ClientSession] = {}  # all; the engine's
        self.behind: dict[ClientSession, None] = {}  # clients that are behind, and what others wait for
        self.holding: dict[ClientSession, None] = {}  # of these, the ones for which somebody waits, for a time
        self.gaps: dict[ClientSession, None] = {}  # sessions with a gap that has not ended
        self.over: dict[ClientSession, None] = {}  # sessions whose gap is over, and nobody has been told
        self.store_room = StoreRoom()
        self.overdue: dict[Peer, str] = {}  # to be disconnected, and why: when the message in hand is done with

    # -- publishers wait

    def queued(self, client: ClientSession, publisher: Peer | None, now: int) -> None:
        """A message for `client`, connected, from `publisher`, could not be sent at once."""
        peer = client.peer
        session = client.session
        if (session.room >= client.hold_room or session.settle() >= client.hold_room) and peer and peer.writable:
            return
        if client not in self.behind:
            self._fell_behind(client, now)
        if publisher is None or client.hold_left <= 0 or client in publisher.waits_for:
            return
        if not client.waiting:
            client.held_since = now
            self.holding[client] = None
        self._wait(client, publisher)
        self._watch.hit("hold_bytes", client, f"is slow: {publisher} is held back for it", now)

    def _fell_behind(self, client: ClientSession, now: int) -> None:
        self.behind[client] = None
        self.begin(client, now)

    def begin(self, client: ClientSession, now: int) -> None:
        """The time in which `client` has to take something begins: it has just fallen behind, or connected."""
        client.mark = client.session.finished
        client.marked_at = now

    def _wait(self, other: ClientSession | StoreRoom, publisher: Peer) -> None:
        publisher.waits_for[other] = None
        other.waiting[publisher] = None
        self._dirty[publisher] = None

    def wait_for_store(self, publisher: Peer, why: str, now: int) -> None:
        """The store is full, so `publisher` waits (HeldBack), and only its PUBLISH: it would lose its connection with
        each message, and not know why.
        """
        self._wait(self.store_room, publisher)
        self._watch.hit("store", publisher, f"{why}: it is held back until there is room", now)

    def hold_for(self, room: StoreRoom, publisher: Peer) -> None:
        """`publisher` waits (HeldBack) until `let_go_on`."""
        self._wait(room, publisher)

    def look_for_room(self) -> None:
        """Whoever waits for the store asks it again."""
        if self.store_room.waiting:
            self.let_go_on(self.store_room)

    def caught_up(self, client: ClientSession) -> None:
        """If `client` has room again (half its limit, lest it is back at once), its publishers go on."""
        peer = client.peer
        session = client.session
        session.settle()
        if client.when_full == HOLD and 2 * session.room < session.size_max and client.waiting:
            return
        if peer is not None:
            half = (client.hold_room + session.size_max) // 2
            if not peer.writable or (session.sent < session.next and session.room < half):
                return
        self.forget(client)

    def forget(self, client: ClientSession) -> None:
        """Nobody has to wait for `client` any more."""
        self.behind.pop(client, None)
        client.hold_left = self._limits.hold_ms
        self._release(client)

    def _release(self, client: ClientSession) -> None:
        self.holding.pop(client, None)
        self.let_go_on(client)

    def let_go_on(self, other: ClientSession | StoreRoom) -> None:
        """Nobody has to wait for `other` any more."""
        for publisher in other.waiting:
            del publisher.waits_for[other]
            if not publisher.waits_for:
                self._dirty[publisher] = None
                self._busy[publisher] = None
        other.waiting.clear()

    def gone(self, publisher: Peer) -> None:
        """`publisher` is closed and waits for nobody any more."""
        for other in publisher.waits_for:
            del other.waiting[publisher]
            if not other.waiting and isinstance(other, ClientSession):
                self.holding.pop(other, None)
        publisher.waits_for.clear()

    def end_holds(self, now: int) -> int | None:
        """Those go on who have waited for long enough; in how many milliseconds to call again, None: nobody waits."""
        wait_ms = None
        for client in list(self.holding):
            left = client.held_since + client.hold_left - now
            if left > 0:
                wait_ms = left if wait_ms is None else min(left, wait_ms)
                continue
            client.hold_left = 0
            self._watch.hit("hold_ms", client, "is too slow: nobody is held back for it any more", now)
            self._release(client)
        return wait_ms

    def stalled(self, now: int) -> list[Peer]:
        """Connections whose client is behind, or whose output stands, and which take too little."""
        limits = self._limits
        found = []
        for client in list(self.behind):
            peer = client.peer
            if peer is None or not peer.writable or client.is_inside:
                continue
            session = client.session
            finished = session.finished
            size = session.bytes // max(1, session.queued)  # of a message, about
            if (finished - client.mark) * size >= limits.min_rate * limits.stall_ms // 1000:
                client.mark = finished
                client.marked_at = now
            elif now - client.marked_at >= limits.stall_ms:
                found.append(peer)
        return found

    def stands(self, peer: Peer, now: int) -> bool:
        """Whether the output of `peer`, which is not writable, has left too slowly."""
        limits = self._limits
        taken = peer.taken()
        if taken - peer.mark >= limits.min_rate * limits.stall_ms // 1000:
            peer.mark = taken
            peer.marked_at = now
        return now - peer.marked_at >= limits.stall_ms and peer.origin != INSIDE

    # -- room in a queue

    def lacks_room(self, client: ClientSession, cost: int, fan: int = 1) -> str:
        """The name of the limit that forbids `cost` more bytes in the queue of `client`, or "". `fan`: in how many
        queues they are to be.
        """
        session = client.session
        if session.room < cost and session.settle() < cost:
            return "queue_bytes"
        limits = self._limits
        if self._ledger.queued + cost * fan <= limits.queues_bytes:
            return ""
        if self._ledger.queued >= self._settle_at:
            self.settle()
            if self._ledger.queued + cost * fan <= limits.queues_bytes:
                return ""
        session.settle()
        share = limits.queues_bytes // max(1, len(self.sessions))
        return "queues_bytes" if session.bytes + cost > share else ""

    def settle(self) -> None:
        """Bring the account of all queues up to date; not again before it has grown."""
        for client in self.sessions.values():
            client.session.settle()
        self._settle_at = self._ledger.queued + self._limits.queues_bytes // 64

    def admit(self, client: ClientSession, cost: int, publisher: Peer, now: int, fan: int) -> None:
        """Before anything is done about a message: LimitError or HeldBack where the rule of `client` is `refuse` or
        `hold` and there is no room. `fan`: as of `lacks_room`.
        """
        limit = self.lacks_room(client, cost, fan)
        if not limit:
            return
        if client.when_full == HOLD:
            if client not in self.behind:
                self._fell_behind(client, now)
            if client not in publisher.waits_for:
                self._wait(client, publisher)
            self._watch.hit(limit, client, f"queue is full: {publisher} is held back for it", now)
            raise HeldBack
        if client.peer and client.store is None:
            self._disconnect(client, limit, now)
            if client.clean:
                return  # the session ends with it
        self._watch.hit(limit, client, f"queue is full: a message from {publisher} is refused", now)
        raise LimitError(
            f"the queue of {client} is full ({limit})", f"the queue of a subscriber is full ({limit}); try again later"
        )

    def make_room(self, client: ClientSession, cost: int, now: int) -> bool:
        """Whether a message of `cost` bytes goes into the queue of `client`; if not, it is dropped and counted."""
        limit = self.lacks_room(client, cost)
        if not limit:
            return True
        if client.peer and client.store is None and client.when_full != HOLD:
            self._disconnect(client, limit, now)
        session = client.session
        if client.when_full == DROP_OLDEST:
            while session.drop_oldest():
                self.drop(client, limit, now)
                if not self.lacks_room(client, cost):
                    return True
        self.drop(client, limit, now)
        return False

    def _disconnect(self, client: ClientSession, limit: str, now: int) -> None:
        peer = client.peer
        if peer and peer not in self.overdue:
            end = ""
            if client.clean:
                count = client.session.queued
                end = f", and {count} messages end with its clean session"
                self._stats.dropped_queue_full += count
                self.open_gap(client, limit, count, now)
            self._watch.hit(limit, client, f"does not take its messages: disconnected{end}", now)
            self.overdue[peer] = f"its queue is full ({limit}){end}"

    # -- what was dropped

    def drop(self, client: ClientSession, cause: str, now: int) -> None:
        """A message for `client` is dropped. `cause`: the name of a limit."""
        self.open_gap(client, cause, 1, now)
        number = client.dropped.total()
        if cause == "write_buffer_bytes":
            self._stats.dropped_slow += 1
            self._watch.hit(cause, client, f"is slow: QoS 0 message dropped, number {number} of its session", now)
        else:
            self._stats.dropped_queue_full += 1
            which = "oldest" if client.when_full == DROP_OLDEST else "newest"
            self._watch.hit(
                cause, client, f"queue is full: the {which} message is dropped, number {number} of its session", now
            )

    def open_gap(self, client: ClientSession, cause: str, count: int, now: int) -> None:
        """`count` messages for `client` are not delivered to it."""
        if client.gap_from < 0:
            client.gap_from = client.dropped.total()
            self.gaps[client] = None
        client.gap_at = now
        client.dropped[cause] += count

    def end_gaps(self, now: int) -> None:
        """Sum up the gaps that are over."""
        for client in list(self.gaps):
            peer = client.peer
            session = client.session
            session.settle()
            if (
                now - client.gap_at >= GAP_MS
                and 2 * session.room >= session.size_max
                and (peer is None or peer.writable)
            ):
                self._end_gap(client, "")
                self.over[client] = None

    def _end_gap(self, client: ClientSession, how: str) -> None:
        count = client.dropped.total() - client.gap_from
        causes = ", ".join(f"{cause} {number}" for cause, number in client.dropped.items())
        log.warning("%s: its gap is over%s: %d messages dropped; since its beginning: %s", client, how, count, causes)
        client.gap_from = -1
        del self.gaps[client]

    def ended(self, client: ClientSession) -> None:
        """The session is over."""
        if client in self.gaps:
            self._end_gap(client, " with its session")
        self.over.pop(client, None)
        self.forget(client)
