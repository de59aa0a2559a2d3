"""A client as one that gets messages of named queues, which lend them to it until it acknowledges, and of streams.
Imports means, stream.

A message stays the queue's until its consumer has it for good: PUBACK; at QoS 2 PUBREC, after which it is never given
to another. So the queue's record of that is made with the session's, or, where the session is not kept, in its place
and before PUBREL leaves.
"""

from ...core.reason_codes import REFUSED
from ...core.records import RELEASED
from ...core.session import EXPIRED
from ...core.session import RELEASED as IS_RELEASED
from ..clients.client_session import ClientSession
from ..clients.queue import DENIED
from ..routing.means import Means
from ..routing.taker import Lender
from .stream import Reader


class Consumer:
    """`lent`: queue and number there by sequence number in the session. Of a clean session, it is the store, too:
    there, nothing but the queue remembers anything.
    """

    def __init__(self, client: ClientSession, means: Means) -> None:
        self.client = client
        self.queues: dict[bytes, bytes] = {}  # names by topic filter
        self.readers: dict[bytes, Reader] = {}  # of streams, the same
        self.lent: dict[int, tuple[Lender, int]] = {}
        self.has_left = False  # in good order
        self._means = means
        session = client.session
        session.on_finished = self.finished
        if client.store is None and means.store:
            session.store = self

    def record(self, kind: int, number: int, head: bytes = b"", payload: bytes = b"", key: bytes = b"") -> None:
        """As Recorder, of a session that is not kept."""
        if kind == RELEASED:
            lent = self.lent.pop(number, None)
            if lent:
                lent[0].finish(lent[1], True)

    def finished(self, seq: int, outcome: int) -> None:
        """As Session.on_finished."""
        self._means.awake[self.client] = None
        lent = self.lent.pop(seq, None)
        if lent is None:
            return
        queue, number = lent
        if outcome == EXPIRED:
            queue.not_sent(number)
        elif outcome == DENIED:
            queue.taken_away(number)
        elif outcome >= REFUSED:
            queue.give_back(number, f"refused with 0x{outcome & 0xFF:02X}")
        elif outcome or seq >= self.client.session.sent:  # dropped before it was sent
            queue.give_back(number, "")
        else:
            queue.finish(number)

    def return_all(self, why: str, ends: bool) -> None:
        """The client is gone: what it has not acknowledged goes back. `ends`: with its session; else only what nobody
        can mistake later for a repeat. When it went in good order, no message is to blame. Else the first one is, for
        `why`: what a client handles comes before what it has only got.
        """
        if self.has_left:
            why = ""
        session = self.client.session
        begun = max(session.sent, session.sent_before)
        for seq in sorted(self.lent):
            queue, number = self.lent[seq]
            message = session.messages.get(seq)
            if message and message[0][0] & 6 == IS_RELEASED:
                if ends:
                    del self.lent[seq]
                    queue.finish(number)
                continue
            if not ends:
                if message and message[0][0] & 6 != 2 and seq < begun:
                    continue
                del self.lent[seq]
                if message:
                    session.drop(seq)
            else:
                del self.lent[seq]
            queue.give_back(number, why if seq < begun else "")
            why = ""
