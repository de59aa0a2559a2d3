"""SUBSCRIBE and UNSUBSCRIBE for the application, which waits for the broker's answer. Both runtimes."""

from ..core import const
from ..core.text import check_plain, check_topic_filter, to_utf8

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .life import Life

_SUBACK = const(-1)  # SUBSCRIBE is not answered yet
_UNSUBACK = const(-2)  # UNSUBSCRIBE is not answered yet
_ABANDONED = const(-2)  # added to either: and nobody waits for it any more


class Subscribing:
    """What the application has asked for and the broker has not answered."""

    def __init__(self, life: "Life") -> None:
        self.life = life
        self.answers: "dict[bytes, int]" = {}  # by topic filter asked for: _SUBACK, _UNSUBACK, or what was answered
        life.on_suback = self.on_suback
        life.on_unsuback = self.on_unsuback

    async def ask(self, topic_filter: str, qos: int) -> int:
        """SUBSCRIBE, or with QoS -1 UNSUBSCRIBE: the answer. For one topic filter, one request after the other."""
        life = self.life
        wanted = to_utf8(topic_filter, "topic filter")
        check_topic_filter(wanted)
        check_plain(wanted)
        answers = self.answers
        while wanted in answers and life.error is None:
            await life.progress.wait()
        if life.error:
            raise life.error
        if qos < 0:
            answers[wanted] = _UNSUBACK
            life.protocol.unsubscribe(wanted)
        else:
            answers[wanted] = _SUBACK
            life.protocol.subscribe(wanted, qos)
        life.to_write.set()
        try:
            while answers[wanted] < 0:
                if life.error:
                    raise life.error
                await life.progress.wait()
            if life.store.is_durable:
                await life.commit()
            code = answers[wanted]
            if code >= 0x80:
                from .unconfirmed import refusal

                raise refusal(topic_filter, code, qos)
            return code
        finally:
            if answers[wanted] < 0:
                answers[wanted] += _ABANDONED
            else:
                del answers[wanted]
            life.wake()  # who waits for the same topic filter

    def on_suback(self, topic_filter: bytes, code: int) -> None:
        """The broker's answer to a subscription; one that is refused after a reconnection has nobody waiting for it."""
        if code >= 0x80:
            from .unconfirmed import refusal

            self.life.log(str(refusal(str(topic_filter, "utf-8"), code)))
        self._answered(topic_filter, _SUBACK, code)

    def on_unsuback(self, topic_filter: bytes, code: int = 0) -> None:
        """A subscription has ended, or has not (`code` from 0x80 on: why; 5.0)."""
        self._answered(topic_filter, _UNSUBACK, code)

    def _answered(self, topic_filter: bytes, asked: int, code: int) -> None:
        state = self.answers.get(topic_filter)
        if state == asked:
            self.answers[topic_filter] = code
        elif state == asked + _ABANDONED:
            del self.answers[topic_filter]
