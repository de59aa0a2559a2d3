"""What has not ended well, or not yet: messages pending, in doubt or refused, subscriptions refused, and the words for
them. Loaded only when there is such a thing. Both runtimes.
"""

from collections import namedtuple

from ..core import const
from ..core.codec import topic_of
from ..core.errors import InDoubtError, MQTTError, PublishError, SetAsideError, SubscribeError
from ..core.features import HOST, KEYS, STREAM, V5
from ..core.records import DONE, is_streamed
from ..core.session import ASIDE, EXPIRED, IN_DOUBT
from .messages import Receipt

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from typing import NamedTuple

    from .life import Life

    class PendingMessage(NamedTuple):
        """A message that is not finished; see BaseClient.pending."""

        seq: int
        state: str
        topic: str
        qos: int
        payload: bytes

else:
    PendingMessage = namedtuple("PendingMessage", ("seq", "state", "topic", "qos", "payload"))

DOUBTS_MAX = const(1000)  # messages in doubt that are kept for the application to ask for


def receipt(life: "Life", seq: int) -> Receipt:
    """The receipt of a message that is finished, set aside or in doubt."""
    found = Receipt(seq)
    message = (life.session.doubts or {}).get(seq)
    found._finish(_kept(seq, message, 0) if message else None)
    return found


def _kept(seq: int, message: "tuple[bytes, bytes, bytes]", code: int) -> MQTTError:
    """Why a message is neither confirmed nor sent again. `code`: of a limit of the broker that it exceeds, or 0."""
    if message[0][0] & 6 == 6:
        return InDoubtError("the broker lost the session after taking QoS 2 message %d" % seq)
    why = "the broker was reached, and ended each connection right after it"
    if code:
        from ..core.reasons import words

        why = "the broker does not take it: " + words(code)
    return SetAsideError(
        code,
        "message %d ('%s', %d bytes) is set aside: %s. Others go on; retry(%d) sends it again, settle(%d) forgets it"
        % (seq, str(topic_of(message[0]), "utf-8"), len(_payload(message)), why, seq, seq),
    )


def _of_stream(message: "tuple[bytes, bytes, bytes]", outcome: int) -> MQTTError:
    """As `_kept`, of one that is not kept, for its payload was never here."""
    topic = str(topic_of(message[0]), "utf-8")
    if outcome == IN_DOUBT:
        return InDoubtError("the broker lost the session after taking the stream to '%s'" % topic)
    why = "the broker was reached, and ended each connection in the middle of it, or right after it; is it too large?"
    if outcome & 0xFF:
        from ..core.reasons import words

        why = "the broker does not take it: " + words(outcome & 0xFF)
    return SetAsideError(outcome & 0xFF, "the stream to '%s' is given up: %s" % (topic, why))


def _payload(message: "tuple[bytes, bytes, bytes]") -> bytes:
    """The application's payload of a message, without what carries its key."""
    _, payload, key = message
    if STREAM and is_streamed(key):
        return b""
    if V5 and key and key[0] & 2:
        from ..core.properties import split

        return split(payload)[1]
    if KEYS and key and key[0] & 1:
        from ..core.keys import unwrap

        opened = unwrap(payload)
        if opened:
            return opened[1]
    return payload


def failure(life: "Life", seq: int, outcome: int) -> MQTTError:
    """Why a message has ended without being confirmed; told to whoever runs the program, too."""
    error: MQTTError
    message = life.session.ended
    if STREAM and message and is_streamed(message[2]) and (outcome == IN_DOUBT or outcome >= ASIDE):
        error = _of_stream(message, outcome)
    elif message and (outcome == IN_DOUBT or outcome >= ASIDE):
        error = _kept(seq, message, outcome & 0xFF if outcome >= ASIDE else 0)
        doubts = life.session.doubts
        if doubts and len(doubts) > DOUBTS_MAX:
            forget_oldest(life, doubts, "there are more than %d" % DOUBTS_MAX)
    elif V5 and outcome == EXPIRED:
        from .expiring import expired

        error = expired(life, seq, message)
    else:
        from ..core.reasons import words

        topic = str(topic_of(message[0]), "utf-8") if message else ""
        error = PublishError(outcome, "the broker refused message %d to '%s': %s" % (seq, topic, words(outcome)))
        if HOST:
            from ..core.telling import explained

            parser = life.protocol.parser
            explained(error, outcome, parser.buf[parser.start : parser.end], 3)  # PUBACK or PUBREC
    life.log(str(error))
    return error


def forget_oldest(life: "Life", doubts: "dict[int, tuple[bytes, bytes, bytes]]", why: str) -> None:
    """Forget the oldest message in doubt; told to whoever runs the program."""
    oldest = min(doubts)
    message = doubts.pop(oldest)
    life.store.record(DONE, oldest)
    state = "in doubt" if message[0][0] & 6 == 6 else "set aside"
    life.log("message %d, which is %s, is forgotten: %s" % (oldest, state, why))


def pending(life: "Life") -> "list[PendingMessage]":
    """What is not finished; see BaseClient.pending."""
    session = life.session
    found = []
    for messages in (session.messages, session.doubts or {}):
        for seq in sorted(messages):
            head = messages[seq][0]
            qos = head[0] >> 1 & 3
            states = ("refused", "in doubt") if messages is session.doubts else ("accepted", "released")
            payload = _payload(messages[seq])
            found.append(PendingMessage(seq, states[qos == 3], str(topic_of(head), "utf-8"), min(qos, 2), payload))
    return found


async def retry(life: "Life", receipts: "dict[int, Receipt]", seq: int) -> Receipt:
    """Send a message that was set aside or is in doubt as a new one; see BaseClient.retry."""
    protocol = life.protocol
    session = life.session
    doubts = session.doubts or {}
    message = doubts.get(seq)
    if not message or life.error:
        raise life.error or ValueError("message %d is neither refused nor in doubt" % seq)
    from ..core.as_new import as_new

    head, payload, key = as_new(message, session.next)
    protocol._check(head[0] & 6, topic_of(head), len(payload))
    if protocol.limits and protocol.is_connected:
        protocol.limits.check(head, payload)
    new = session.publish(head, payload, key)
    found = receipts[new] = Receipt(new)
    life.to_write.set()
    del doubts[seq]
    life.store.record(DONE, seq)  # behind the new one: a crash between them doubles it, and loses nothing
    await life.commit()
    return found


async def settle(life: "Life", receipts: "dict[int, Receipt]", seq: int) -> None:
    """Forget a message in doubt or set aside, give up one that is not released; see BaseClient.settle."""
    session = life.session
    doubts = session.doubts
    message = session.messages.get(seq)
    if message and message[0][0] & 6 != 6:
        receipt = receipts.pop(seq, None)
        session.give_up(seq)
        if receipt:
            receipt._finish(SetAsideError(0, "message %d was given up before it was confirmed" % seq))
        life.wake()
    elif doubts and doubts.pop(seq, None):
        life.store.record(DONE, seq)
    else:
        return
    await life.commit()


def refusal(topic_filter: str, code: int, qos: int = 0) -> SubscribeError:
    """The broker's answer to SUBSCRIBE or, with QoS -1, UNSUBSCRIBE, from 0x80 on."""
    what = "did not end" if qos < 0 else "refused"
    why = ""  # 0x80 is all that 3.1.1 has, and says nothing in 5.0
    if code != 0x80:
        from ..core.reasons import words

        why = ": " + words(code)
    return SubscribeError("the broker " + what + " the subscription to '" + topic_filter + "'" + why)
