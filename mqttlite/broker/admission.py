"""Asks an application whether a client may connect (authentication.py), in one packet or several (AUTH). Imports
peer, core.

Section and statement numbers are those of 5.0.
"""

import logging
from collections.abc import Callable

from ..core.auth import AGAIN, AUTH, CONTINUE, DATA, METHOD, SUCCESS, decode_auth, encode_auth, properties_of
from ..core.errors import ProtocolError
from ..core.greeting import Connect
from ..core.packet_types import DISCONNECT
from ..core.reason_codes import BAD_METHOD, PACKET_TOO_LARGE, REFUSED
from .authentication import Arriving, Authenticate, Exchange, Refusal
from .events import VERSIONS
from .peer import Peer

log = logging.getLogger("mqttlite.broker")


class Admission:
    """Asks `hook` about each CONNECT; None: everybody may connect, and none in several packets. `enter`: what is done
    with a client that may, and with the properties of its CONNACK.
    """

    def __init__(self, hook: Authenticate | None, enter: Callable[[Peer, Connect, bytes], None]) -> None:
        self._hook = hook
        self._enter = enter

    def connect(self, peer: Peer, connect: Connect) -> None:
        """A valid CONNECT."""
        method = connect.properties.get(METHOD, b"")
        data = connect.properties.get(DATA, b"")
        assert isinstance(method, bytes) and isinstance(data, bytes)
        if self._hook is None:
            if METHOD in connect.properties:
                peer.refuse(BAD_METHOD)  # [MQTT-4.12.0-1]
            else:
                self._enter(peer, connect, b"")
            return
        peer.method = method
        try:
            self._begin(peer, connect, data, False)
        except Refusal as refusal:  # [MQTT-4.12.0-4]
            log.warning("%s: not authenticated: %s", peer, refusal)
            peer.refuse(refusal.code)

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
                log.warning("%s: not authenticated: %s", peer, refusal)
                peer.refuse(refusal.code)
        else:
            raise ProtocolError("4.12", f"AUTH with reason code {reason} is not what comes next")

    def _begin(self, peer: Peer, connect: Connect, data: bytes, again: bool) -> None:
        assert self._hook
        who = Arriving(
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
            self._enter(peer, connect, properties_of(peer.method, data) if peer.method else b"")  # [MQTT-4.12.0-6]

    @staticmethod
    def _send(peer: Peer, connect: Connect, packet: bytes) -> None:
        if 0 < connect.packet_max < len(packet):  # [MQTT-3.1.2-24]
            raise Refusal(PACKET_TOO_LARGE, f"AUTH of {len(packet)} bytes; its client takes {connect.packet_max}")
        peer.out.append(packet)
