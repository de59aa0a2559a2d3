"""A message whose payload is nowhere here: whoever publishes it gives it piece by piece when it is sent, and again when
it is sent again. Both runtimes; loaded with the first one.

In the session it is a message like any other, with its number and its place in the order; what stands for its payload
is a `Streamed`, and whoever writes `out` puts the pieces in its place (client/pieces). Its key says that it is one
(STREAMED), and it is all that a store gets to know: that the number is used, so that no other message gets it while the
peer may remember it. A message in doubt, or set aside, is kept for the application to send again; this one is not, for
there is nothing to keep.
"""

from . import const
from .codec import released
from .packet_types import PUBREL
from .records import ACCEPTED, DONE, STREAMED, is_streamed
from .records import RELEASED as RELEASED_RECORD
from .session import SPAN

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from typing import Any

    from .records import Recorder
    from .session import Session


class Streamed(bytes):
    """In the place of a payload: the bytes that stand before it in the packet, its properties (5.0).

    `size`: of what the pieces come to. `stream`: who gives them.
    """

    size = 0
    stream: "Any" = None


def accept(session: "Session", head: bytes, before: bytes, streamed: Streamed, version: int) -> int:
    """As Session.publish. `before`: what the store gets as the payload; `version`: the flag of a key that says it."""
    seq = session.next
    key = bytes((STREAMED | version,))
    session.messages[seq] = (head, streamed, key)
    session.next = seq + 1
    if session.store:
        session.store.record(ACCEPTED, seq, head, before, key)
    session._pump()
    return seq


def give_up(session: "Session", seq: int) -> None:
    """Nobody gives the payload any more. At QoS 2, the peer may have had it before: PUBREL lets it forget the
    identifier, and if it never had it does no harm.
    """
    head, payload, key = session.messages[seq]
    if head[0] & 6 == 6:
        return  # it has it
    if not head[0] & 4 or seq >= max(session.sent, session.sent_before):
        session.give_up(seq)
        return
    session.messages[seq] = (released(head), payload, key)
    session._record(RELEASED_RECORD, seq)
    if seq < session.sent:
        session._send(PUBREL, seq % SPAN + 1)


def without_streams(messages: "dict[int, tuple[bytes, bytes, bytes]]") -> "dict[int, tuple[bytes, bytes, bytes]]":
    """What a store keeps of messages, some of which are streams: their payload is empty."""
    found = {}
    for seq, (head, payload, key) in messages.items():
        if is_streamed(key):
            payload = b"\0" if key[0] & 2 else b""
        found[seq] = (head, payload, key)
    return found


def end_earlier(store: "Recorder", messages: "dict[int, tuple[bytes, bytes, bytes]]") -> int:
    """What becomes of the streams of an earlier life, whose payload died with it: how many there were. At QoS 2 the
    peer may have had it, and remembers its identifier: PUBREL lets it forget that, and if it never had it does no harm.
    """
    count = 0
    for seq in sorted(messages):
        head, payload, key = messages[seq]
        if is_streamed(key):
            count += 1
            if not head[0] & 4:
                del messages[seq]
                store.record(DONE, seq)
            elif head[0] & 6 != 6:
                messages[seq] = (released(head), payload, key)
                store.record(RELEASED_RECORD, seq)
    return count
