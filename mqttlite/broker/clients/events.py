"""Lines of the log about connections: a sentence for people, with the same in fields for programs
(cli/serving/log_forms.py). Imports addresses; peer for the type checker alone.

    connected   client, address, user, version, session (new, resumed, clean), keep_alive_s
    refused     address, user, version, why: CONNECT was answered with another code than 0
    closed      client, address, user, version, why, duration_s, read_bytes, sent_bytes; no client: no CONNECT came
    limit       limit, count: something that Limits allow is used up (stats.py)

A record of logging has `event` and `fields`; what is not known is left out.
"""

import logging
from typing import TYPE_CHECKING

from ..bounds.addresses import INSIDE

if TYPE_CHECKING:
    from .peer import Peer

log = logging.getLogger("mqttlite.broker")

VERSIONS = {3: "3.1", 4: "3.1.1", 5: "5.0"}  # by protocol level


def connected(peer: "Peer", kind: str, keep_alive_s: int) -> None:
    """CONNECT is accepted. `kind`: of its session, in words."""
    level = _level(peer, logging.INFO)
    if log.isEnabledFor(level):
        fields = about(peer)
        fields["session"] = "resumed" if "resumed" in kind else "clean" if "clean" in kind else "new"
        fields["keep_alive_s"] = keep_alive_s
        _say(level, "connected", "%s connected (%s, keep alive %d s)", (peer, kind, keep_alive_s), fields)


def closed(peer: "Peer", why: str, level: int, now: int) -> None:
    """The network connection has ended, or ends now."""
    level = _level(peer, level)
    if log.isEnabledFor(level):
        fields = about(peer)
        fields["why"] = why
        if not peer.refused_because:
            fields["duration_s"] = round(max(0, now - peer.opened_at) / 1000, 3)
            fields["read_bytes"] = peer.read
            fields["sent_bytes"] = peer.written
        event = "refused" if peer.refused_because else "closed"
        _say(level, event, "%s closed: %s", (peer, why), fields)


def _level(peer: "Peer", level: int) -> int:
    """What programs in this process do is told by them."""
    return logging.DEBUG if peer.address == INSIDE and level == logging.INFO else level


def about(peer: "Peer") -> dict[str, object]:
    """Whose connection it is, as far as that is known."""
    fields: dict[str, object] = {}
    connect = peer.connect
    if peer.client:
        fields["client"] = peer.client.client_id.decode()
    elif connect:
        fields["client"] = connect.client_id.decode()
    fields["address"] = peer.address
    user = user_of(peer)
    if user is not None:
        fields["user"] = user
    if connect:
        fields["version"] = VERSIONS[connect.level]
    return fields


def user_of(peer: "Peer") -> str | None:
    """The user name with which it was let in; None: without one."""
    return peer.identity.user


def _say(level: int, event: str, text: str, args: tuple[object, ...], fields: dict[str, object]) -> None:
    log.log(level, text, *args, extra={"event": event, "fields": fields})
