"""The session's table: every row, every missing row, and what the application may do while it is called."""

import pytest

from mqttlite.core import codec, session, wire4
from mqttlite.core.connection import Connection
from mqttlite.core.errors import ProtocolError
from mqttlite.core.packet_types import PUBACK, PUBCOMP, PUBREC, PUBREL
from mqttlite.core.reused_identifiers import NO_ROOM, REUSED
from mqttlite.core.session import INBOUND, OTHER, OUTBOUND, Session
from tests.core.packets import decode
from tests.statements import statement

HEAD = {1: codec.publish_head(2, b"t", 1), 2: codec.publish_head(4, b"t", 1)}
ID = 1
STATES = ("FREE", "TAKEN1", "TAKEN2", "STALE1", "STALE2", "OWED1", "HELD")
INPUTS = {
    "PUBLISH1": 0x32,
    "PUBLISH1_DUP": 0x3A,
    "PUBLISH2": 0x34,
    "PUBLISH2_DUP": 0x3C,
    "PUBLISH2_OTHER": 0x34 | OTHER,
    "PUBLISH2_DUP_OTHER": 0x3C | OTHER,
    "PUBREL": PUBREL,
    "HANDLED": session.HANDLED,
    "CUT": session.CUT,
}
DELIVER = "deliver"


def connected(**kwargs: int) -> tuple[Session, list[bytes]]:
    s = Session(**kwargs)
    out: list[bytes] = []
    s.connected(out, False)
    return s, out


# -- outbound: what leaves and what is finished, by (what was sent, packet that arrives)


def outbound(state: str) -> tuple[Session, list[bytes], list[int]]:
    s, out = connected()
    finished: list[int] = []
    s.on_finished = lambda seq, in_doubt: finished.append(seq)
    if state != "FREE":
        s.publish(HEAD[1 if state == "SENT1" else 2], b"x")
    if state == "RELEASED":
        s.acknowledged(PUBREC, ID)
    out.clear()
    return s, out, finished


OUTBOUND_WANTED = {
    ("SENT1", PUBACK): (b"", [0]),
    ("SENT2", PUBREC): (b"\x62\x02\x00\x01", []),
    ("RELEASED", PUBREC): (b"\x62\x02\x00\x01", []),
    ("RELEASED", PUBCOMP): (b"", [0]),
    ("FREE", PUBACK): (b"", []),
    ("FREE", PUBREC): (b"\x62\x02\x00\x01", []),
    ("FREE", PUBCOMP): (b"", []),
}


def test_the_outbound_table_has_these_rows_and_no_others() -> None:
    assert set(OUTBOUND) == {getattr(session, state) << 8 | first for state, first in OUTBOUND_WANTED}


@statement("3.1.1", "MQTT-4.3.2-1", "MQTT-4.3.3-1", "MQTT-2.3.1-6", "MQTT-2.3.1-3")
@pytest.mark.parametrize("state", ["FREE", "SENT1", "SENT2", "RELEASED"])
@pytest.mark.parametrize("first", [PUBACK, PUBREC, PUBCOMP])
def test_each_acknowledgement_has_its_effect_or_is_refused(state: str, first: int) -> None:
    s, out, finished = outbound(state)
    wanted = OUTBOUND_WANTED.get((state, first))
    if wanted is None:
        before = dict(s.messages)
        with pytest.raises(ProtocolError) as error:
            s.acknowledged(first, ID)
        assert error.value.rule == "4.3"
        assert (s.messages, b"".join(out), finished) == (before, b"", [])
        return
    s.acknowledged(first, ID)
    assert (b"".join(out), finished) == wanted
    assert s.unfinished == len(s.messages) == (state != "FREE" and not finished)


@statement("3.1.1", "MQTT-4.3.3-1", "MQTT-4.4.0-1")
def test_a_released_message_is_never_sent_as_publish_again() -> None:
    s, out, _ = outbound("RELEASED")
    s.disconnected()
    out.clear()
    s.connected(out, True)
    assert out == [b"\x62\x02\x00\x01"]
    assert s.messages[0][0][0] & 6 == 6, "marked as released"


# -- inbound

THIS, OTHER_CONTENT = 7, 8  # digests


def inbound(state: str) -> tuple[Session, list[bytes]]:
    s, out = connected()
    qos = 2 if state in ("TAKEN2", "STALE2", "HELD") else 1
    if state != "FREE":
        delivery = s.received(0x30 | qos << 1, ID, THIS if qos == 2 else 0)
        assert delivery & 0xFFFF == ID
        if state in ("STALE1", "STALE2", "OWED1"):
            s.disconnected()
        if state in ("OWED1", "HELD"):
            s.handled(delivery, s.generation)
        if s.out is None:
            s.connected(out, True)
        assert s.inbound == {ID: delivery >> 16 << 4 | getattr(session, state)}
    out.clear()
    return s, out


PUBACK_1, PUBREC_1, PUBCOMP_1 = b"\x40\x02\x00\x01", b"\x50\x02\x00\x01", b"\x70\x02\x00\x01"
INBOUND_WANTED: "dict[tuple[str, str], tuple[str, object]]" = {
    ("FREE", "PUBLISH1"): ("TAKEN1", DELIVER),
    ("FREE", "PUBLISH1_DUP"): ("TAKEN1", DELIVER),
    ("FREE", "PUBLISH2"): ("TAKEN2", DELIVER),
    ("FREE", "PUBLISH2_DUP"): ("TAKEN2", DELIVER),
    ("FREE", "PUBREL"): ("FREE", PUBCOMP_1),
    ("FREE", "PUBLISH2_OTHER"): ("TAKEN2", DELIVER),
    ("FREE", "PUBLISH2_DUP_OTHER"): ("TAKEN2", DELIVER),
    ("TAKEN1", "HANDLED"): ("FREE", PUBACK_1),
    ("TAKEN1", "PUBLISH1"): ("TAKEN1", DELIVER),
    ("TAKEN1", "PUBLISH1_DUP"): ("TAKEN1", b""),
    ("TAKEN1", "CUT"): ("STALE1", b""),
    ("TAKEN1", "PUBLISH2"): ("TAKEN2", DELIVER),
    ("TAKEN1", "PUBLISH2_DUP"): ("TAKEN2", DELIVER),
    ("TAKEN1", "PUBLISH2_OTHER"): ("TAKEN2", DELIVER),
    ("TAKEN1", "PUBLISH2_DUP_OTHER"): ("TAKEN2", DELIVER),
    ("TAKEN2", "HANDLED"): ("HELD", PUBREC_1),
    ("TAKEN2", "PUBLISH1"): ("TAKEN1", DELIVER),
    ("TAKEN2", "PUBLISH1_DUP"): ("TAKEN1", DELIVER),
    ("TAKEN2", "PUBLISH2"): ("TAKEN2", b""),
    ("TAKEN2", "PUBLISH2_DUP"): ("TAKEN2", b""),
    ("TAKEN2", "PUBLISH2_OTHER"): ("TAKEN2", DELIVER),
    ("TAKEN2", "PUBLISH2_DUP_OTHER"): ("TAKEN2", b""),
    ("TAKEN2", "CUT"): ("STALE2", b""),
    ("STALE1", "HANDLED"): ("OWED1", b""),
    ("STALE1", "PUBLISH1"): ("TAKEN1", DELIVER),
    ("STALE1", "PUBLISH1_DUP"): ("TAKEN1", b""),
    ("STALE1", "PUBLISH2"): ("TAKEN2", DELIVER),
    ("STALE1", "PUBLISH2_DUP"): ("TAKEN2", DELIVER),
    ("STALE1", "PUBLISH2_OTHER"): ("TAKEN2", DELIVER),
    ("STALE1", "PUBLISH2_DUP_OTHER"): ("TAKEN2", DELIVER),
    ("STALE1", "CUT"): ("STALE1", b""),
    ("STALE2", "HANDLED"): ("HELD", b""),
    ("STALE2", "PUBLISH2"): ("TAKEN2", b""),
    ("STALE2", "PUBLISH2_DUP"): ("TAKEN2", b""),
    ("STALE2", "PUBLISH2_OTHER"): ("TAKEN2", DELIVER),
    ("STALE2", "PUBLISH2_DUP_OTHER"): ("TAKEN2", b""),
    ("STALE2", "PUBLISH1"): ("TAKEN1", DELIVER),
    ("STALE2", "PUBLISH1_DUP"): ("TAKEN1", DELIVER),
    ("STALE2", "PUBREL"): ("STALE2", PUBCOMP_1),
    ("STALE2", "CUT"): ("STALE2", b""),
    ("OWED1", "PUBLISH1"): ("TAKEN1", DELIVER),
    ("OWED1", "PUBLISH1_DUP"): ("FREE", PUBACK_1),
    ("OWED1", "PUBLISH2"): ("TAKEN2", DELIVER),
    ("OWED1", "PUBLISH2_DUP"): ("TAKEN2", DELIVER),
    ("OWED1", "PUBLISH2_OTHER"): ("TAKEN2", DELIVER),
    ("OWED1", "PUBLISH2_DUP_OTHER"): ("TAKEN2", DELIVER),
    ("OWED1", "CUT"): ("OWED1", b""),
    ("HELD", "PUBLISH2"): ("HELD", PUBREC_1),
    ("HELD", "PUBLISH2_DUP"): ("HELD", PUBREC_1),
    ("HELD", "PUBLISH2_OTHER"): ("TAKEN2", DELIVER),
    ("HELD", "PUBLISH2_DUP_OTHER"): ("HELD", PUBREC_1),
    ("HELD", "PUBREL"): ("FREE", PUBCOMP_1),
    ("HELD", "PUBLISH1"): ("TAKEN1", DELIVER),
    ("HELD", "PUBLISH1_DUP"): ("TAKEN1", DELIVER),
    ("HELD", "CUT"): ("HELD", b""),
}


def test_the_inbound_tables_have_these_rows_and_no_others() -> None:
    """Where nothing is known of a content (QoS 1, FREE), no content is another one."""
    rows = {
        getattr(session, state) << 8 | INPUTS[name]
        for state, name in INBOUND_WANTED
        if (name != "CUT" or state in ("TAKEN1", "TAKEN2"))
        and not (name.endswith("OTHER") and state in ("FREE", "TAKEN1", "STALE1", "OWED1"))
    }
    assert rows | {session.HELD << 8 | NO_ROOM} == {*INBOUND, *REUSED}
    assert not INBOUND.keys() & REUSED.keys()


@statement("3.1.1", "MQTT-4.3.2-2", "MQTT-4.3.3-2", "MQTT-3.3.4-1", "MQTT-2.3.1-6")
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", [*INPUTS])
def test_each_input_has_its_effect_or_is_refused(state: str, name: str) -> None:
    if (state, name) == ("FREE", "CUT"):
        return  # there is nothing that could lose its connection
    s, out = inbound(state)
    wanted = INBOUND_WANTED.get((state, name))
    delivered: list[int] = []

    def step() -> object:
        if name.startswith("PUBLISH"):
            digest = (OTHER_CONTENT if name.endswith("OTHER") else THIS) if "2" in name else 0
            if not s.received(INPUTS[name] | 1, ID, digest):  # RETAIN makes no difference
                return b"".join(out)
            delivered.append(digest)
            return DELIVER
        if name == "PUBREL":
            s.released(ID)
        elif name == "HANDLED":
            value = s.inbound.get(ID, 0)
            s.handled(value >> 4 << 16 | ID, s.generation)
        else:
            s.disconnected()
        return b"".join(out)

    if wanted is None:
        before = dict(s.inbound)
        if (state, name) == ("FREE", "HANDLED"):  # of a message that was not taken
            assert step() == b""
            return
        with pytest.raises(ProtocolError) as error:
            step()
        assert error.value.rule == "4.3"
        assert (s.inbound, out) == (before, [])
        return
    after, effect = wanted
    assert step() == effect
    assert {n: value & 15 for n, value in s.inbound.items()} == (
        {} if after == "FREE" else {ID: getattr(session, after)}
    )
    assert not (effect == DELIVER and out)
    if after in ("TAKEN2", "STALE2", "HELD"):
        assert s.inbound[ID] >> 4 == (delivered or [THIS])[0], "the digest is that of what was delivered"


@statement("3.1.1", "MQTT-4.3.3-2")
def test_a_qos_2_message_is_delivered_once_however_often_it_comes() -> None:
    s, _ = connected()
    deliveries = 0
    for first in (0x34, 0x3C, 0x34, 0x3C):
        deliveries += s.received(first, ID) > 0
    s.handled(ID, 1)
    for first in (0x34, 0x3C):
        deliveries += s.received(first, ID) > 0
    assert deliveries == 1
    s.released(ID)
    assert s.received(0x34, ID), "after PUBREL the identifier stands for another message"


def test_a_reused_identifier_is_told_of_at_the_1st_2nd_4th_8th_time_and_an_older_memory_too() -> None:
    s, out = connected()
    said: list[str] = []
    s.log = said.append
    s.handled(s.received(0x34, ID, THIS), s.generation)
    for _ in range(10):
        assert not s.received(0x3C, ID, OTHER_CONTENT)
    assert len(said) == 4
    assert (
        said[0]
        == "packet identifier 1 came with another message, and with DUP: taken for a repeat, so it is not delivered"
    )
    assert said[3].endswith("; 8 such packets so far")
    s.reuses = 0
    assert s.received(0x34, ID, OTHER_CONTENT)
    assert (
        said[4]
        == "packet identifier 1 came with another message, while the one before was not finished: delivered as new"
    )
    s.disconnected()
    s.connected(out, True)
    s.released(ID)
    assert said[5].startswith("PUBREL for packet identifier 1, whose message is not acknowledged yet")


@pytest.mark.parametrize("shift", [6, 18])
def test_contents_are_told_apart_wherever_the_topic_name_ends(shift: int) -> None:
    class Receiver(Connection):
        def __init__(self) -> None:
            Connection.__init__(self, 1000)
            self.digest_shift = shift
            self.wire = wire4
            self.session, self.out = connected()
            self.is_connected = True
            self.got: list[tuple[bytes, bytes]] = []

        def check_topic(self, topic: bytes) -> None:
            pass

        def deliver(self, first: int, topic: bytes, payload: bytes, packet_id: int, properties: bytes) -> None:
            self.got.append((topic, payload))

    receiver = Receiver()
    messages = [(b"room/1", b"21"), (b"room/12", b"1"), (b"room/121", b""), (b"room/1", b"22"), (b"room/2", b"21")]
    for topic, payload in messages:
        for _ in range(2):
            receiver.receive(codec.publish_head(4, topic, len(payload)) + b"\0\1" + payload, 0)
    assert receiver.got == messages


def test_more_unfinished_messages_than_allowed_are_refused_and_repeats_are_not() -> None:
    s, _ = connected(inbound_max=2)
    assert s.received(0x34, 1)
    assert s.received(0x32, 2)
    with pytest.raises(ProtocolError) as error:
        s.received(0x34, 3)
    assert error.value.rule == "4.3.3"
    assert not s.received(0x3C, 1)
    s.handled(2, s.generation)
    assert s.received(0x34, 3)


# -- the session comes and goes


@statement("3.1.1", "MQTT-3.1.2-6")
def test_handling_a_message_of_a_session_that_is_gone_acknowledges_nothing() -> None:
    s, out = connected()
    before = s.generation
    assert s.received(0x34, ID)
    s.disconnected()
    s.connected(out, False)
    assert s.received(0x34, ID), "another message"
    out.clear()
    s.handled(ID, before)
    assert out == []
    s.handled(ID, s.generation)
    assert b"".join(out) == PUBREC_1


@statement("3.1.1", "MQTT-3.1.2-6")
def test_after_the_peer_lost_the_session_messages_are_sent_as_new_and_released_ones_are_in_doubt() -> None:
    s, out = connected()
    finished: list[tuple[int, bool]] = []
    s.on_finished = lambda seq, in_doubt: finished.append((seq, in_doubt))
    for qos in (2, 1, 2, 2):
        s.publish(HEAD[qos], b"x")
    s.acknowledged(PUBREC, 1)
    s.acknowledged(PUBREC, 3)
    s.disconnected()
    out.clear()
    s.connected(out, False)
    assert finished == [(0, True), (2, True)]
    assert out == [HEAD[1], b"\0\2", b"x", HEAD[2], b"\0\4", b"x"]
    s.acknowledged(PUBACK, 2)
    s.acknowledged(PUBREC, 4)
    s.acknowledged(PUBCOMP, 4)
    assert not s.messages


@statement("3.1.1", "MQTT-4.4.0-1", "MQTT-4.6.0-1")
def test_repeats_keep_order_and_identifiers_and_come_before_anything_new() -> None:
    s, out = connected(window=3)
    for qos in (1, 2, 2, 1):
        s.publish(HEAD[qos], b"x")
    s.acknowledged(PUBREC, 2)
    s.disconnected()
    s.publish(HEAD[1], b"n")
    for _ in range(2):  # the second time as the first
        out.clear()
        s.connected(out, True)
        dup = [bytes((head[0] | 8,)) + head[1:] for head in (HEAD[1], HEAD[2])]
        assert out == [dup[0], b"\0\1", b"x", b"\x62\x02\x00\x02", dup[1], b"\0\3", b"x"]
        s.disconnected()
    out.clear()
    s.connected(out, True)
    out.clear()
    s.acknowledged(PUBACK, 1)
    assert out == [HEAD[1], b"\0\4", b"x"], "what did not fit the window is sent as soon as it does, without DUP"


@pytest.mark.parametrize("session_present", [True, False])
def test_the_application_may_publish_while_it_is_told_of_finished_messages(session_present: bool) -> None:
    s, out = connected(window=3)
    s.on_finished = lambda seq, in_doubt: None if seq > 3 else s.publish(HEAD[1], b"%d" % seq) and None
    for _ in range(3):
        s.publish(HEAD[2], b"x")
    s.acknowledged(PUBREC, 1)
    s.acknowledged(PUBREC, 3)
    s.disconnected()
    out.clear()
    s.connected(out, session_present)
    if session_present:
        s.acknowledged(PUBCOMP, 1)
        s.acknowledged(PUBCOMP, 3)
    sent = [p.fields for p in decode(b"".join(out)) if p.kind == "publish"]
    assert [(f["packet_id"], f["payload"], f["dup"]) for f in sent] == [
        (2, b"x", session_present),
        (4, b"0", False),
        (5, b"2", False),
    ]
    assert s.unfinished == 3


def test_a_message_published_without_a_connection_waits_for_it() -> None:
    s = Session()
    s.publish(HEAD[1], b"x")
    out: list[bytes] = []
    s.connected(out, True)
    assert out == [HEAD[1], b"\0\1", b"x"]


@pytest.mark.parametrize("given_up", [2, 4])
def test_the_end_of_a_message_that_was_never_sent_leaves_the_window_as_it_is(given_up: int) -> None:
    s = Session(window=2)
    out: list[bytes] = []
    s.connected(out, False)
    for number in range(6):
        s.publish(HEAD[1], b"%d" % number)
    s._finish(given_up, 0)
    assert s.unfinished == 2
    for packet_id in range(1, 6):
        if packet_id == given_up + 1:
            continue
        s.acknowledged(PUBACK, packet_id)
        assert s.unfinished <= 2
    sent = [fields["payload"] for kind, fields in decode(b"".join(out)) if kind == "publish"]
    assert sent == [b"%d" % number for number in range(6) if number != given_up]
