"""Shared subscriptions (5.0: 4.8.2), for clients of both versions: of all members of a share, one gets each message.
Imports peer.

Members take turns. One that is slow, or not there, is passed over while there is another; what none can take now waits
for one that has a session. What a member had not acknowledged when its session ended goes to another: all of QoS 1, and
of QoS 2 what was never sent to it.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING

from ...core.errors import MQTTError

if TYPE_CHECKING:
    from ..clients.client_session import ClientSession

PREFIX = b"$share/"


class ShareError(MQTTError):
    """Not the topic filter of a shared subscription."""


def parted(topic_filter: bytes) -> tuple[bytes, bytes]:
    """ShareName, and the topic filter that is shared. ShareError [MQTT-4.8.2-1] [MQTT-4.8.2-2]."""
    name, slash, inner = topic_filter[len(PREFIX) :].partition(b"/")
    if not name or not slash or not inner or b"+" in name or b"#" in name:
        raise ShareError("a shared subscription is $share/NAME/FILTER, without wildcards in NAME")
    return name, inner


class Share:
    """A shared subscription: its members, with the options of each. `name`: its whole topic filter."""

    __slots__ = ("members", "name")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.members: dict[ClientSession, int] = {}

    def next(self, qos: int, barred: "Collection[ClientSession]" = ()) -> "ClientSession | None":
        """Whose turn it is for a message of this QoS; None: nobody can have it. `barred`: who may not."""
        members = self.members
        second: ClientSession | None = None
        chosen: ClientSession | None = None
        for client in members:
            if barred and client in barred:
                continue
            peer = client.peer
            session = client.session
            if peer is not None and peer.writable and session.unfinished < session.window:
                chosen = client
                break
            if second is None or (second.peer is None and peer is not None):
                second = client
        if chosen is None:
            chosen = second
            if chosen is None or (not qos and (chosen.peer is None or not chosen.peer.writable)):
                return None
        members[chosen] = members.pop(chosen)  # the last one now
        return chosen
