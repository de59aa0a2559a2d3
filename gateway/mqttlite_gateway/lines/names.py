"""What a device calls itself, as a topic level of its own below the status topic.

Two names never give the same level, whatever a device sends: what a level cannot hold, or a log should not show, stands
there as percent-encoded bytes, and so does the beginning of a name that the gateway uses itself.
"""

from typing import Generic, TypeVar

from mqttlite.link.frames import MAX_DEVICE_ID

ONLINE = "online"  # TOPIC/online: whether the gateway is there
UPSTREAM = "upstream"  # TOPIC/upstream/<name>: the state of each uplink
LINE = "line"  # TOPIC/line/<path of the port>: the state of each line

_ENCODED = frozenset("/+#%")

T = TypeVar("T")


def topic_level(device_id: bytes) -> str:
    """The topic level of a device; "" for a name that cannot be one: empty, or longer than the link allows."""
    if not 0 < len(device_id) <= MAX_DEVICE_ID:
        return ""
    text = device_id.decode(errors="surrogateescape")
    return f"%{device_id[0]:02X}{text[1:]}" if text in (ONLINE, LINE, UPSTREAM) else _encoded(text)


def line_topic(path: str) -> str:
    """The topic of a port, below the status topic: "line/dev/ttyUSB0"."""
    return LINE + "/" + "/".join(_encoded(part) for part in path.strip("/").split("/"))


def _encoded(text: str) -> str:
    return "".join(
        sign
        if sign.isprintable() and sign not in _ENCODED
        else "".join(f"%{byte:02X}" for byte in sign.encode(errors="surrogateescape"))
        for sign in text
    )


class Names(Generic[T]):
    """Which line a topic level belongs to, for all lines of a gateway: one line has one level at the most."""

    def __init__(self) -> None:
        self._owners: dict[str, T] = {}

    def owner(self, level: str) -> T | None:
        """The line that has `level`."""
        return self._owners.get(level)

    def give(self, level: str, line: T) -> None:
        """`line` has this level from now on, and no other one; "": none."""
        for other in [known for known, owner in self._owners.items() if owner is line]:
            del self._owners[other]
        if level:
            self._owners[level] = line
