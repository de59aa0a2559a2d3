"""What MQTT 5.0 asks of a client whatever it is used for: order, acknowledgements, a lost session, keep alive."""

from mqttlite.core.session import IN_DOUBT, Session
from tests.core.test_client5 import Application, publish
from tests.statements import statement


def numbers(packets: list[tuple[int, bytes]], first: int) -> list[int]:
    """Packet identifiers of acknowledgements with this first byte, in the order in which they were sent."""
    return [int.from_bytes(body[:2], "big") for byte, body in packets if byte == first]


def sent(packets: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """First byte and payload of each PUBLISH to a topic of one letter without properties."""
    return [(byte, body[-1:]) for byte, body in packets if byte & 0xF0 == 0x30]


@statement("5.0", "MQTT-4.6.0-1", "MQTT-4.4.0-1", "MQTT-3.3.1-1")
def test_messages_are_sent_again_in_their_order_before_anything_new() -> None:
    app = Application()
    app.online()
    for number, qos in enumerate((1, 2, 1, 2, 2)):
        app.client.publish(qos << 1, b"t", b"%d" % number)
    first_time = app.written()
    assert [payload for _, payload in sent(first_time)] == [b"0", b"1", b"2", b"3", b"4"]
    seq = app.client.session.first
    app.client.receive(b"\x40\x02" + ((seq + 2) % 65535 + 1).to_bytes(2, "big"), 0)  # PUBACK of one in the middle
    app.client.closed()
    app.client.publish(2, b"t", b"5")
    again = app.online(present=True)
    assert sent(again) == [(0x3A, b"0"), (0x3C, b"1"), (0x3C, b"3"), (0x3C, b"4"), (0x32, b"5")]


@statement("5.0", "MQTT-4.6.0-2", "MQTT-4.6.0-3")
def test_acknowledgements_leave_in_the_order_in_which_messages_came() -> None:
    app = Application(handles=False)
    app.online()
    for packet_id, flags in ((7, 2), (3, 4), (9, 2), (1, 4), (5, 2)):
        app.client.receive(publish(flags, packet_id, b"", b"x"), 0)
    written = app.written()
    assert numbers(written, 0x40) == [7, 9, 5]
    assert numbers(written, 0x50) == [3, 1]


@statement("5.0", "MQTT-4.6.0-4")
def test_pubrel_leaves_in_the_order_in_which_pubrec_came() -> None:
    app = Application()
    app.online()
    first = app.client.publish(4, b"t", b"0") % 65535 + 1
    for number in range(1, 4):
        app.client.publish(4, b"t", b"%d" % number)
    app.written()
    order = [first + 2, first, first + 3, first + 1]
    for packet_id in order:
        app.client.receive(b"\x50\x02" + packet_id.to_bytes(2, "big"), 0)
    assert numbers(app.written(), 0x62) == order


@statement("5.0", "MQTT-4.5.0-2")
def test_a_message_is_acknowledged_whatever_becomes_of_it() -> None:
    """Nobody has asked for this topic, and one is larger than the client takes: read past, and acknowledged."""
    app = Application(size_max=100)
    app.online()
    app.client.receive(publish(2, 1, b"", b"x", b"unwanted") + publish(4, 2, b"", b"x", b"unwanted"), 0)
    app.client.receive(publish(2, 3, b"", bytes(200)) + publish(4, 4, b"", bytes(200)), 0)
    written = app.written()
    assert numbers(written, 0x40) == [1, 3] and numbers(written, 0x50) == [2, 4]
    for packet_id in (2, 4):
        app.client.receive(b"\x62\x02\0" + bytes((packet_id,)), 0)
    assert numbers(app.written(), 0x70) == [2, 4]


@statement("5.0", "MQTT-3.2.2-5", "MQTT-3.1.2-5")
def test_what_the_broker_has_forgotten_the_client_forgets_too() -> None:
    app = Application(Session(window=10))
    app.online()
    app.client.publish(2, b"t", b"0")
    released = app.client.publish(4, b"t", b"1")
    app.client.receive(b"\x50\x02" + (released % 65535 + 1).to_bytes(2, "big"), 0)
    app.client.receive(publish(4, 5, b"", b"x"), 0)  # its identifier is remembered
    app.written()
    app.client.closed()
    app.take()
    again = app.online(present=False)
    assert sent(again) == [(0x32, b"0")]  # as new: no DUP, no PUBREL
    assert [byte for byte, _ in again] == [0x32]
    assert app.client.session.inbound == {}
    assert ("finished", released, IN_DOUBT) in app.take()


@statement("5.0", "MQTT-3.1.2-20", "MQTT-3.12.4-1")
def test_a_client_that_says_nothing_else_asks_for_a_sign_of_life_within_the_keep_alive() -> None:
    app = Application(keep_alive_s=10)
    app.online()
    due = app.client.deadline()
    assert due is not None and due <= 10_000
    app.client.tick(due)
    assert app.written() == [(0xC0, b"")]
    app.client.receive(b"\xd0\0", due)
    assert app.client.waiting_since is None


@statement("5.0", "MQTT-3.1.2-20")
def test_the_keep_alive_that_the_broker_says_is_the_one_that_counts() -> None:
    app = Application(keep_alive_s=0)
    app.online("13 00 05")
    due = app.client.deadline()
    assert due is not None and due <= 5000
    app.client.tick(due)
    assert app.written() == [(0xC0, b"")]
