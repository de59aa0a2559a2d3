"""Retained messages (3.3.1.3): the last one of each topic. Imports only core.text and the limits."""

from collections.abc import Iterator
from typing import NamedTuple

from ..core.matching import matches
from .limits import Limits


class Retained(NamedTuple):
    """A retained message; `qos` as it was published."""

    topic: bytes
    payload: bytes
    qos: int


class RetainedMessages:
    """All retained messages, in the order of their publication."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._messages: dict[bytes, Retained] = {}
        self.bytes = 0  # of payloads and topic names

    def __len__(self) -> int:
        return len(self._messages)

    def store(self, topic: bytes, payload: bytes, qos: int) -> str:
        """Replace what is retained for `topic` [MQTT-3.3.1-5]; an empty payload only removes it [MQTT-3.3.1-10].

        Returns the name of the limit that forbids to retain it, or "". The older message is gone in any case: it is not
        the last one any more [MQTT-3.3.1-7].
        """
        old = self._messages.pop(topic, None)
        if old is not None:
            self.bytes -= len(topic) + len(old.payload)
        if not payload:  # [MQTT-3.3.1-11]
            return ""
        if len(payload) > self._limits.retained_message_bytes:
            return "retained_message_bytes"
        if len(self._messages) >= self._limits.retained_topics:
            return "retained_topics"
        size = len(topic) + len(payload)
        if self.bytes + size > self._limits.retained_bytes:
            return "retained_bytes"
        self._messages[topic] = Retained(topic, payload, qos)
        self.bytes += size
        return ""

    def matching(self, topic_filter: bytes) -> Iterator[Retained]:
        """The retained messages whose topic matches a valid topic filter."""
        if b"+" not in topic_filter and b"#" not in topic_filter:
            message = self._messages.get(topic_filter)
            if message is not None:
                yield message
            return
        prefix = topic_filter[: min(at for at in (topic_filter.find(b"+"), topic_filter.find(b"#")) if at >= 0)]
        prefix = prefix.rstrip(b"/")  # `a/#` matches `a`; what does not start like this needs no closer look
        for topic, message in self._messages.items():
            if topic.startswith(prefix) and matches(topic_filter, topic):
                yield message
