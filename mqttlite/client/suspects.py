"""Why connections end soon after they were made, time and again. Loaded when three in a row have. Both runtimes.

**A message that the peer never takes** (too large for it, a topic that it forbids) would block everything behind it, in
this life and every later one. In 3.1.1 a peer can only close the connection; so does a bad line, and a message must not
suffer for that. So a message becomes a *suspect* when it is the oldest unfinished one of a connection that the peer has
ended, unacknowledged, and it is *set aside* on evidence only. In each of ROUNDS rounds

1. a connection is made that leaves all messages out. It has to live: PINGREQ is answered, and it lasts LIVING_MS, and
   TIMES as long as any that has died of the suspect;
2. on this living connection the suspect is sent, alone: the peer ends the connection right after it.

All rounds have to agree. Whatever else happens (the connection is lost without the suspect or by something else than
the peer's doing, the suspect is acknowledged) is a disagreement, and the evidence starts anew. No other message is sent
meanwhile, so none overtakes an innocent suspect. One that was released (PUBREC) is sent alone like that, too, which
helps it through a bad line, but it is never found guilty: the peer has it.

A peer that ends a connection takes with it what it had answered to earlier messages. So behind an innocent suspect, and
where connections are reset time and again although a message or two gets through each of them, what was under way is
sent one message after the other, each when the one before is finished: if one of them ends the connection, it is the
oldest unfinished one then, and the next suspect.

What was set aside is kept with the messages in doubt (unconfirmed.py). Where a peer takes no message at all, one after
the other would be set aside; from the third in a row on, each takes twice as long as the one before.

**A message that takes longer on a slow line than the broker waits**: it is closed in the middle of it, after 1.5 times
the keep alive. The keep alive is ours to choose, so the next CONNECT has a longer one.

**Another client with our identifier**: the broker ends the older of two connections, and each client throws out the
other [MQTT-3.1.4-2]. So the broker, and no reset, ends connections that work, one after the other.
"""

import asyncio

from ..core import const
from ..core.codec import body_at
from ..core.features import HOST
from ..core.reason_codes import TAKEN_OVER
from ..core.session import ASIDE
from ..serial.clock import now_ms

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from ..core.client import ClientProtocol
    from .life import Life
    from .outgoing import Outgoing
    from .transport import Transport

ROUNDS = const(8)
LIVING_MS = const(300)
TIMES = const(4)
DYING_MS = const(15000)  # what the peer ends later than this, it does not end because of the message
PAUSE_MS = const(100)  # between two rounds
BARREN = const(3)  # messages set aside in a row, and none taken: it may be the peer

# Reason codes of DISCONNECT (5.0) that are about what was sent; others are about the peer, or the connection.
_ABOUT_CONTENT = b"\0\x80\x81\x82\x83\x87\x90\x94\x95\x99\x9a\x9b"

# Errors of a socket whose peer has closed: EPIPE, ECONNABORTED, ECONNRESET; on Linux (and boards) and macOS
_RESET = (32, 103, 104, 53, 54)


class Suspicion:
    """The evidence against one message. While there is one, it decides what is sent."""

    def __init__(self, judge: "Judge") -> None:
        session = judge.life.session
        self._judge = judge
        self._life = judge.life
        self._span = session.span
        self.seq = session.first
        self.message = session.messages[self.seq]
        self.rounds = 0
        self.dying_ms = 0  # how long it took the peer at most
        self.lived_ms = 0  # how long this connection lived without the message
        self.sent_at: "int | None" = None  # when it was sent on this connection
        self.walking = False  # it was taken, and what was under way is sent one at a time
        self._end = session.sent  # of what was under way
        session.span = 0  # no message is sent

    async def probe(self, transport: "Transport") -> None:
        """The third task of a connection, beside reading and writing: leave the message out, then send it."""
        life = self._life
        self.sent_at = None
        while not life.is_connected:
            await life.progress.wait()
        if not self.walking:
            await self._try_alone()
        session = life.session
        while session.first < self._end:
            if not session.unfinished:
                at = session.first = session.sent
                self._let(1)
                if session.sent > at:  # perhaps only a number that no message has
                    continue
            await life.progress.wait()
        self.end(True)

    async def _try_alone(self) -> None:
        """One round, which ends here when the message is taken."""
        life = self._life
        protocol = life.protocol
        began = now_ms()
        protocol.ping(began)
        life.to_write.set()
        life.attention.set()
        while protocol.waiting_since is not None:
            await life.progress.wait()
        await asyncio.sleep(max(self.living_ms() - now_ms() + began, 0) / 1000)
        self.sent_at = now_ms()
        self.lived_ms = self.sent_at - began
        self._let(1)
        while self.is_open():
            await life.progress.wait()
        self.walking = True

    def living_ms(self) -> int:
        """How long a connection without the message has to live."""
        return max(LIVING_MS, TIMES * self.dying_ms) << min(max(self._judge.barren - BARREN + 1, 0), 8)

    def is_open(self) -> bool:
        """Whether the message is still where it was: neither acknowledged nor released."""
        return self._life.session.messages.get(self.seq) is self.message

    def end(self, alive: bool) -> None:
        """There is no suspicion any more. On a connection that is `alive`, what has waited is sent."""
        self._judge.suspicion = None
        self._life.session.span = self._span
        if alive:
            self._let(self._span)

    def _let(self, span: int) -> None:
        """Send so many messages from the first unfinished one on."""
        session = self._life.session
        session.span = span
        session._pump()
        self._life.to_write.set()

    def died(self, peer: int) -> bool:
        """The connection has ended (`peer`: as of `ended_by`); whether that agrees with the suspicion."""
        sent_at = self.sent_at
        if sent_at is None or peer < 0 or peer not in _ABOUT_CONTENT or not self.is_open():
            return False
        self._life.session.span = 0  # for the next connection
        dying_ms = now_ms() - sent_at
        self.dying_ms = max(dying_ms, self.dying_ms)
        if TIMES * dying_ms <= self.lived_ms:
            self.rounds += 1
        return self.dying_ms <= DYING_MS


def ended_by(error: Exception) -> int:
    """-1, or how the peer has ended a connection: 0 when it has closed it, or the reason code of its DISCONNECT."""
    if isinstance(error, OSError):
        return 0 if error.args and error.args[0] in _RESET else -1
    return getattr(error, "ended", -1)


class Judge:
    """Of one client: what its connections that did not last have in common."""

    def __init__(self, life: "Life", outgoing: "Outgoing") -> None:
        self.life = life
        self.suspicion: "Suspicion | None" = None  # that a message is never taken
        self.barren = 0  # messages set aside since one was confirmed
        self._outgoing = outgoing
        self._thrown_out = 0  # connections that worked and were ended by the broker, in a row

    def judge(self, error: Exception, reason: str, pause_ms: int) -> "tuple[str, int]":
        """A connection has ended, one of several that did not last. What to say, and after how many milliseconds to try
        again, when `reason` and `pause_ms` are what is usual.
        """
        life = self.life
        protocol = life.protocol
        session = life.session
        suspicion = self.suspicion
        walked = suspicion and suspicion.walking
        peer = ended_by(error)
        undone = session.unfinished and not self._outgoing.has_confirmed  # something was sent, and nothing confirmed
        # `keep_alive_ms` is 0.9 of it: a broker that heard no whole packet for 1.5 has closed [MQTT-3.1.2-24]
        if peer >= 0 and undone and 0 < protocol.keep_alive_ms * 3 // 2 <= now_ms() - protocol.received_at:
            wait_longer(protocol)
            reason += "; the message takes longer than the broker waits: asking it to wait four times as long"
            if suspicion:
                suspicion.end(False)
            return reason, pause_ms
        if suspicion and walked:
            suspicion.end(False)
        elif suspicion:
            self._thrown_out = 0
            if not suspicion.died(peer):
                suspicion.end(False)
                return reason, pause_ms
            if suspicion.rounds >= ROUNDS:
                suspicion.end(False)
                if suspicion.message[0][0] & 6 != 6:
                    self.barren += 1
                    session.give_up(suspicion.seq, ASIDE)
            else:
                reason += "; is it because of this message? %d of %d times" % (suspicion.rounds, ROUNDS)
            return reason, PAUSE_MS
        if not life.is_connected:
            return reason, pause_ms
        at_once = undone or (walked and session.unfinished)
        if at_once or (session.unfinished and peer == 0 and isinstance(error, OSError)):
            message = session.messages.get(session.first)
            is_sent = session.sent > session.first  # it does not wait for identifiers to be cleared
            if peer >= 0 and peer in _ABOUT_CONTENT and message and is_sent:
                suspicion = self.suspicion = Suspicion(self)
                self._thrown_out = 0
                if at_once:
                    return reason, PAUSE_MS
                suspicion.walking = True
                session.span = 1
        elif peer == TAKEN_OVER or (peer == 0 and not isinstance(error, OSError) and not protocol.requests):
            self._thrown_out += 1
            if self._thrown_out > 1 or peer:
                reason += "; another client uses this client identifier ('" + life.client_id + "'), probably"
            return reason, pause_ms
        self._thrown_out = 0
        return reason, pause_ms


def wait_longer(protocol: "ClientProtocol") -> None:
    """Ask for four times the keep alive from the next CONNECT on (3.1.2.10), and go on sending PINGREQ as before: no
    PINGREQ can be sent inside of a long message, and a slow line needs its time for one.
    """
    connect = protocol.connect_packet
    at = body_at(connect)
    at += connect[at + 1] + 4  # protocol name, level and flags
    protocol.connect_packet = (
        connect[:at] + min(4 * (connect[at] << 8 | connect[at + 1]), 65535).to_bytes(2, "big") + connect[at + 2 :]
    )
    if HOST and protocol.opening:
        protocol.opening.wait_longer()
