"""The will: what the broker publishes when the client is lost (3.1.2.5). Loaded only by who has one. Both runtimes."""

from collections import namedtuple

from ..core import const
from ..core.text import check_plain, check_topic_name, to_utf8
from .messages import check_qos

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from typing import NamedTuple

    class Will(NamedTuple):
        """A will: `Will("room/state", b"lost", 1, True)`; a plain tuple will do."""

        topic: str
        payload: "str | bytes"
        qos: int
        retain: bool

else:
    Will = namedtuple("Will", ("topic", "payload", "qos", "retain"))


def checked(will: "tuple[str, str | bytes, int, bool]") -> "tuple[bytes, bytes, int, bool]":
    """A will as the protocol wants it."""
    topic, payload, qos, retain = will
    name = to_utf8(topic, "will topic")
    check_topic_name(name)
    check_plain(name)
    check_qos(qos, "QoS of the will")
    return name, payload.encode() if isinstance(payload, str) else payload, qos, retain
