"""What the broker has confirmed to the publisher, seen on the wire: the same measure for every client."""

from mqttlite.core.packet_types import PUBACK, PUBCOMP, PUBLISH

DIGITS = 8  # the number of a message is the end of its payload, hence of its packet


class Confirmed:
    """Numbers of the messages whose PUBACK or PUBCOMP has been passed on to the publisher."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self._published: dict[bytes, int] = {}  # packet identifier: number of the last message sent under it

    def on_passed(self, upstream: bool, packet: bytes) -> None:
        """A packet of the publisher's link has been passed on, whole; `upstream`: to the broker."""
        if upstream and packet[0] & 0xF0 == PUBLISH:
            self._published[_packet_id(packet)] = int(packet[-DIGITS:])
        elif not upstream and packet[0] in (PUBACK, PUBCOMP):
            number = self._published.get(packet[2:4])
            refused = len(packet) > 4 and packet[4] >= 0x80  # the reason code of 5.0
            if number is not None and not refused:
                self.numbers.add(number)


def _packet_id(publish: bytes) -> bytes:
    """That of a PUBLISH of QoS 1 or 2: it follows the topic (3.3.2.2)."""
    at = 1
    while publish[at] & 0x80:
        at += 1
    topic = at + 1
    at = topic + 2 + int.from_bytes(publish[topic : topic + 2], "big")
    return publish[at : at + 2]
