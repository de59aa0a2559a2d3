"""What has not ended well, or not yet: messages pending, in doubt or refused, subscriptions refused, and the words for
them. Loaded only when there is such a thing. Both runtimes.
"""

from ..core import const
from ..core.codec import topic_of
from ..core.errors import InDoubtError, MQTTError, PublishError, SubscribeError
from ..core.session import IN_DOUBT
from .messages import Receipt

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .base import BaseClient

DOUBTS_MAX = const(1000)  # messages in doubt that are kept for the application to ask for

# As in store/records.
_DONE = const(3)


def receipt(client: "BaseClient", seq: int) -> Receipt:
    """The receipt of a message that is finished or in doubt."""
    found = Receipt(seq)
    found._finish(_doubt(seq) if seq in (client._protocol.state.doubts or ()) else None)
    return found


def _doubt(seq: int) -> InDoubtError:
    return InDoubtError("the broker lost the session after taking QoS 2 message %d" % seq)


def failure(client: "BaseClient", seq: int, outcome: int) -> MQTTError:
    """Why a message has ended without being confirmed; told to whoever runs the program, too."""
    error: MQTTError
    if outcome == IN_DOUBT:
        error = _doubt(seq)
        doubts = client._protocol.state.doubts
        if doubts and len(doubts) > DOUBTS_MAX:
            forget_oldest(client, doubts, "there are more than %d" % DOUBTS_MAX)
    else:
        from ..core.reasons import words

        error = PublishError(outcome, "the broker refused message %d: %s" % (seq, words(outcome)))
    client._log(str(error))
    return error


def forget_oldest(client: "BaseClient", doubts: "dict[int, tuple[bytes, bytes, bytes]]", why: str) -> None:
    """Forget the oldest message in doubt; told to whoever runs the program."""
    oldest = min(doubts)
    del doubts[oldest]
    client.store.record(_DONE, oldest)
    client._log("message %d, which is in doubt, is forgotten: %s" % (oldest, why))


def pending(client: "BaseClient") -> "list[tuple[int, str, str, int, bytes]]":
    """What is not finished; see BaseClient.pending."""
    session = client._protocol.state
    found = []
    for messages in (session.messages, session.doubts or {}):
        for seq in sorted(messages):
            head, payload, key = messages[seq]
            if client.version == 5:
                from ..core.codec5 import split

                payload = split(payload)[1]
            elif key and key[0] & 1:
                from ..core.keys import unwrap

                opened = unwrap(payload)
                payload = opened[1] if opened else payload
            qos = head[0] >> 1 & 3
            state = "in doubt" if messages is session.doubts else "released" if qos == 3 else "accepted"
            found.append((seq, state, str(topic_of(head), "utf-8"), min(qos, 2), payload))
    return found


async def settle(client: "BaseClient", seq: int) -> None:
    """Forget a message in doubt; see BaseClient.settle."""
    doubts = client._protocol.state.doubts
    if doubts and doubts.pop(seq, None):
        client.store.record(_DONE, seq)
        await client._commit()


def refusal(topic_filter: str, code: int, qos: int = 0) -> SubscribeError:
    """The broker's answer to SUBSCRIBE or, with QoS -1, UNSUBSCRIBE, from 0x80 on."""
    what = "did not end" if qos < 0 else "refused"
    why = ""  # 0x80 is all that 3.1.1 has, and says nothing in 5.0
    if code != 0x80:
        from ..core.reasons import words

        why = ": " + words(code)
    return SubscribeError("the broker " + what + " the subscription to '" + topic_filter + "'" + why)


def late(client: "BaseClient", timeout_s: float) -> str:
    """What `drain` has waited for in vain."""
    if client._receipts:
        return "%d accepted messages are not confirmed after %s s" % (len(client._receipts), timeout_s)
    return "not everything has left after %s s" % timeout_s
