"""Asks whether a client may connect: the guard (access/guard.py), or an application in one packet or several (AUTH,
authentication.py). Imports access, peer, core.

Section and statement numbers are those of 5.0.
"""

import logging
from collections.abc import Callable

from ...core.auth import AGAIN, AUTH, CONTINUE, DATA, METHOD, SUCCESS, decode_auth, encode_auth, properties_of
from ...core.errors import ProtocolError
from ...core.greeting import IDENTIFIER_REJECTED, Connect
from ...core.packet_types import DISCONNECT
from ...core.reason_codes import BAD_CREDENTIALS, BAD_METHOD, NOT_AUTHORISED, PACKET_TOO_LARGE, REFUSED, UNAVAILABLE
from ..access.authentication import Arriving, Authenticate, Exchange, Refusal
from ..access.guard import ALLOW_ALL, Guard
from ..access.identity import HOOK, INSIDE, Identity
from ..access.pending import Crowded, Pending, Question
from ..bounds.addresses import INSIDE as INSIDE_ADDRESS
from ..clients.client_session import INSIDE_IDS
from ..clients.events import VERSIONS
from ..clients.peer import Peer
from ..clients.publishable import shown
from ..gates.logins import Logins
from ..limits import Limits
from ..packets.farewell import TOO_FAST

log = logging.getLogger("mqttlite.broker")

Vouch = Callable[[Arriving], Identity | None]
"""Says who a client is whose connection is known; None: the guard is asked. Raises Refusal."""


class Admission:
    """Asks `hook` about each CONNECT; None: asks `guard`, and nobody is asked in several packets. `enter`: what is done
    with a client that may, and with the properties of its CONNACK; `asked`: with one that waits for the guard's answer.
    """

    def __init__(
        self,
        hook: Authenticate | None,
        guard: Guard,
        limits: Limits,
        logins: Logins,
        enter: Callable[[Peer, Connect, bytes], None],
        asked: Callable[[Peer], None],
    ) -> None:
        self._hook = hook
        self.guard = self._before = guard
        self._logins = logins
        self._enter = enter
        self._asked = asked
        self.vouched: dict[str, Vouch] = {}  # who says who it is, by the address of a connection (Broker.join)
        self.pending = Pending(limits.authentications, limits.authentications_waiting)

    def take_guard(self, guard: Guard) -> None:
        """Another one from now on."""
        self._before, self.guard = self.guard, guard

    def take_limits(self, limits: Limits) -> None:
        """Others from now on."""
        self.pending.take_limits(limits.authentications, limits.authentications_waiting)
        self._logins.take_limits()

    def connect(self, peer: Peer, connect: Connect, now: int) -> None:
        """A valid CONNECT."""
        if peer.origin == INSIDE_ADDRESS:  # a program in this process, which may everything
            peer.identity = Identity(None, how=INSIDE)
            self._enter(peer, connect, b"")
            return
        if connect.client_id.startswith(INSIDE_IDS):
            log.warning("%s: client identifier %s is for programs inside the broker", peer, shown(connect.client_id))
            why = "client identifiers that begin so are for programs inside the broker; choose another"
            peer.refuse(IDENTIFIER_REJECTED, why=why)
            return
        method = connect.properties.get(METHOD, b"")
        data = connect.properties.get(DATA, b"")
        assert isinstance(method, bytes) and isinstance(data, bytes)
        if self._asks and connect.username is not None and not self._logins.may_try(peer.address, _user(connect), now):
            peer.refuse(TOO_FAST, why="too many logins have failed of late; wait a minute, and look at the password")
        elif self._hook is None:
            if METHOD in connect.properties:
                why = "the broker has no authentication methods; connect without one"
                peer.refuse(BAD_METHOD, why=why)  # [MQTT-4.12.0-1]
            elif self.guard is ALLOW_ALL:
                self._enter(peer, connect, b"")
            else:
                self._ask_guard(peer, connect, now)
        else:
            peer.method = method
            try:
                self._begin(peer, connect, data, False)
            except Refusal as refusal:  # [MQTT-4.12.0-4]
                self._refuse(peer, refusal)

    @property
    def _asks(self) -> bool:
        return self._hook is not None or self.guard is not ALLOW_ALL

    def _ask_guard(self, peer: Peer, connect: Connect, now: int) -> None:
        vouch = self.vouched.get(peer.address)
        try:
            arriving = _arriving(peer, connect)
            found = (vouch and vouch(arriving)) or self.guard.admit(arriving)
            if isinstance(found, Identity):
                peer.identity = found
            else:
                question = Question(peer, found, now, self.guard)
                self.pending.add(question)
                peer.question = question
                self._asked(peer)
                return
        except Refusal as refusal:
            if isinstance(refusal, Crowded):
                self._logins.watch.hit("authentications_waiting", peer, "CONNECT refused", now)
            self._refuse(peer, refusal)
            return
        self._enter(peer, connect, b"")

    def answered(self, peer: Peer, answer: Identity | Refusal, of: Guard | None) -> None:
        """What was asked about a CONNECT, which has waited for it. `of`: the guard that has answered."""
        peer.question = None
        connect = peer.connect
        assert connect
        if isinstance(answer, Refusal):
            self._refuse(peer, answer)
            return
        if of is not self.guard and of is not self._before:  # which passwords have changed since is not known
            self._refuse(peer, Refusal(UNAVAILABLE, "users have changed more than once since it was asked"))
            return
        known = self.guard.known(answer)  # it may be another guard by now
        if known is None or (of is not self.guard and not self.guard.stays(answer)):
            why = f"{answer.text} is gone, or has another password, since it was asked"
            self._refuse(peer, Refusal(NOT_AUTHORISED, why))
            return
        peer.identity = known
        self._enter(peer, connect, b"")

    def _refuse(self, peer: Peer, refusal: Refusal) -> None:
        if refusal.code in (BAD_CREDENTIALS, NOT_AUTHORISED) and peer.connect:
            self._logins.failed(peer.address, _user(peer.connect))
        log.warning("%s: not authenticated: %s", peer, refusal)
        peer.refuse(refusal.code, why=refusal.told)

    def packet(self, peer: Peer, first: int, buf: bytes, start: int, end: int) -> None:
        """AUTH, or whatever comes while CONNECT has no answer yet. Refusal: a connection has to end for it."""
        if not peer.is_connected:
            if first == DISCONNECT:
                peer.will = None
                peer.finished = True
                return
            if first != AUTH:  # [MQTT-3.1.2-30] [MQTT-3.1.4-6]
                raise ProtocolError("4.12", f"packet type {first >> 4} before the authentication is over")
        elif not peer.method:  # [MQTT-4.12.0-7]
            raise ProtocolError("4.12", "AUTH, and CONNECT had no authentication method")
        reason, method, data = decode_auth(buf, start, end)
        if method != peer.method:  # [MQTT-4.12.0-5] [MQTT-4.12.1-1]
            raise ProtocolError("4.12", "AUTH with another authentication method than CONNECT")
        connect = peer.connect
        assert connect
        exchange = peer.exchange
        if reason == AGAIN and exchange is None:
            self._begin(peer, connect, data, True)
        elif reason == CONTINUE and exchange is not None:  # [MQTT-4.12.0-3]
            if peer.is_connected:
                self._step(peer, connect, *exchange.go_on(data))
                return
            try:
                self._step(peer, connect, *exchange.go_on(data))
            except Refusal as refusal:
                self._refuse(peer, refusal)
        else:
            raise ProtocolError("4.12", f"AUTH with reason code {reason} is not what comes next")

    def _begin(self, peer: Peer, connect: Connect, data: bytes, again: bool) -> None:
        assert self._hook
        who = _arriving(peer, connect, data, again)
        exchange = peer.exchange = Exchange(self._hook(who))
        self._step(peer, connect, *exchange.begin())

    def _step(self, peer: Peer, connect: Connect, is_over: bool, data: bytes) -> None:
        if not is_over:
            if not peer.method:
                log.error("%s: authenticate has a question for a client that has no authentication method", peer)
                raise Refusal(REFUSED, "no authentication method")
            self._send(peer, connect, encode_auth(CONTINUE, peer.method, data))  # [MQTT-4.12.0-2]
            return
        peer.exchange = None
        if peer.is_connected:
            self._send(peer, connect, encode_auth(SUCCESS, peer.method, data))
        else:
            peer.identity = Identity(_user(connect) or None, how=HOOK)
            self._enter(peer, connect, properties_of(peer.method, data) if peer.method else b"")  # [MQTT-4.12.0-6]

    @staticmethod
    def _send(peer: Peer, connect: Connect, packet: bytes) -> None:
        if 0 < connect.packet_max < len(packet):  # [MQTT-3.1.2-24]
            raise Refusal(PACKET_TOO_LARGE, f"AUTH of {len(packet)} bytes; its client takes {connect.packet_max}")
        peer.out.append(packet)


def _user(connect: Connect) -> str | None:
    return None if connect.username is None else connect.username.decode()


def _arriving(peer: Peer, connect: Connect, data: bytes = b"", again: bool = False) -> Arriving:
    return Arriving(
        connect.client_id.decode(),
        None if connect.username is None else connect.username.decode(),
        connect.password,
        peer.method.decode(),
        data,
        peer.address,
        VERSIONS[connect.level],
        again,
        peer.certificate() or None,
    )
