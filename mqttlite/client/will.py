"""The will: what the broker publishes when the client is lost (3.1.2.5). Loaded only by who has one. Both runtimes."""

import sys
from collections import namedtuple

from ..core import const
from ..core.features import HOST, V5
from ..core.text import check_plain, check_topic_name, to_utf8
from .messages import check_qos

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from typing import NamedTuple, Self, Unpack

    from ..core.events import Will as CheckedWill
    from ..core.message_properties import WillProperties

    class _Fields(NamedTuple):
        topic: str
        payload: "str | bytes"
        qos: int
        retain: bool

    class Will(_Fields):
        """A will: `Will("room/state", b"lost", 1, True)`; a plain tuple of all four will do.
        Without more than a topic: an empty payload, QoS 0, not retained.

        In MQTT 5.0, `delay_s` is how many seconds after the loss it is published, unless the client has come back or
        its session has ended, and it has the properties that `publish` takes: `Will(..., delay_s=30,
        user_properties={"why": "lost"})`.
        """

        more: WillProperties

        def __new__(
            cls,
            topic: str,
            payload: "str | bytes" = b"",
            qos: int = 0,
            retain: bool = False,
            **more: Unpack[WillProperties],
        ) -> Self: ...

elif HOST:
    _Fields = namedtuple("Will", ("topic", "payload", "qos", "retain"))

    class Will(_Fields):
        def __init__(self, topic, payload=b"", qos=0, retain=False, **more):
            if _IS_BOARD:
                super().__init__(topic, payload, qos, retain)
            self.more = more

    _IS_BOARD = sys.implementation.name == "micropython"
    if not _IS_BOARD:  # there, a tuple gets its fields before __init__

        def _new(cls, topic, payload=b"", qos=0, retain=False, **more):
            return _Fields.__new__(cls, topic, payload, qos, retain)

        _new.__qualname__ = "Will"  # what Python's error calls it when an argument is missing
        Will.__new__ = staticmethod(_new)
elif V5:

    def Will(topic, payload, qos, retain, **more):
        return topic, payload, qos, retain, more

else:
    Will = namedtuple("Will", ("topic", "payload", "qos", "retain"))


def checked(will: "tuple[str, str | bytes, int, bool]") -> "CheckedWill":
    """A will as the protocol wants it; the last field, a block of properties, is only there if it has some."""
    topic, payload, qos, retain = will if HOST or not V5 else will[:4]
    name = to_utf8(topic, "will topic")
    check_topic_name(name)
    check_plain(name)
    check_qos(qos, "QoS of the will")
    if V5 and (getattr(will, "more", None) if HOST else will[4:]):
        from ..core.message_properties import encode

        block = encode(will.more if HOST else will[4])  # type: ignore[attr-defined, misc]
        return name, payload.encode() if isinstance(payload, str) else payload, qos, retain, block
    return name, payload.encode() if isinstance(payload, str) else payload, qos, retain
