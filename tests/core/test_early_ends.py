"""Messages whose handshake ends before its last packet, sessions that the peer has lost: every row, every missing row;
and what an error says about a packet that does not fit.
"""

import pytest

from mqttlite.core import codec, early_ends, lost_session, session
from mqttlite.core.errors import ProtocolError
from mqttlite.core.packet_types import PUBACK, PUBCOMP, PUBREC, PUBREL
from mqttlite.core.records import ACCEPTED, CLEARING, DONE, DOUBT, FREED, HELD, LOST, RELEASED
from mqttlite.core.session import ASIDE, IN_DOUBT, Session
from tests.statements import statement

HEAD = {1: codec.publish_head(2, b"t", 1), 2: codec.publish_head(4, b"t", 1)}
REFUSED = 0x87


class Recorder:
    def __init__(self) -> None:
        self.records: list[tuple[int, int]] = []

    def record(self, kind: int, number: int, head: bytes = b"", payload: bytes = b"", key: bytes = b"") -> None:
        self.records.append((kind, number))


def under_way(state: str, key: bytes = b"") -> tuple[Session, list[bytes], list[tuple[int, int]]]:
    """A session with one message in that state, number 0."""
    s = Session()
    s.doubts = {}
    s.store = Recorder()
    out: list[bytes] = []
    ended: list[tuple[int, int]] = []
    s.on_finished = lambda seq, outcome: ended.append((seq, outcome))
    s.connected(out, False)
    if state != "FREE":
        s.publish(HEAD[1 if state == "SENT1" else 2], b"x", key)
    if state == "RELEASED":
        s.acknowledged(PUBREC, 1)
    out.clear()
    s.store.records.clear()
    return s, out, ended


# -- refused by the peer

FITS = {("SENT1", PUBACK), ("SENT2", PUBREC), ("RELEASED", PUBREC), ("FREE", PUBACK), ("FREE", PUBREC)}


@statement("5.0", "MQTT-4.4.0-2", "MQTT-4.3.3-4")
@pytest.mark.parametrize("state", ["FREE", "SENT1", "SENT2", "RELEASED"])
@pytest.mark.parametrize("first", [PUBACK, PUBREC])
def test_a_refusal_ends_the_message_that_it_fits_and_no_other(state: str, first: int) -> None:
    s, out, ended = under_way(state)
    if (state, first) not in FITS:
        with pytest.raises(ProtocolError) as error:
            s.acknowledged(first, 1, REFUSED)
        assert error.value.rule == "4.3"
        assert len(s.messages) == 1
        return
    s.acknowledged(first, 1, REFUSED)
    assert ended == [(0, REFUSED)] * (state != "FREE")
    assert not out and not s.messages and not s.unfinished
    s.check()


def test_pubcomp_with_a_reason_code_completes_what_is_released() -> None:
    s, _, ended = under_way("RELEASED")
    s.acknowledged(PUBCOMP, 1, 0x92)
    assert ended == [(0, 0)]


def test_a_refusal_makes_room_for_the_next_message() -> None:
    s, out, _ = under_way("SENT1")
    s.window = 1
    s.publish(HEAD[1], b"y")
    assert not out
    s.acknowledged(PUBACK, 1, REFUSED)
    assert out[-1] == b"y"
    s.check()


# -- given up by its owner


@pytest.mark.parametrize("state", ["SENT1", "SENT2"])
@pytest.mark.parametrize("outcome", [0, ASIDE, ASIDE | 0x95])
def test_a_message_that_is_not_released_can_be_dropped_or_set_aside(state: str, outcome: int) -> None:
    s, _, ended = under_way(state)
    s.give_up(0, outcome)
    assert ended == [(0, outcome)]
    assert s.store.records == [(DOUBT if outcome else DONE, 0)]  # type: ignore[union-attr, attr-defined]
    assert list(s.doubts or {}) == [0] * bool(outcome)
    s.check()


def test_a_message_that_is_released_is_the_peers_and_cannot_be_given_up() -> None:
    s, _, ended = under_way("RELEASED")
    with pytest.raises(KeyError):
        s.give_up(0, ASIDE)
    assert not ended and s.messages


def test_a_message_that_was_never_sent_leaves_the_window_as_it_is() -> None:
    s, _, _ = under_way("SENT1")
    s.window = 1
    s.publish(HEAD[2], b"y")
    s.give_up(1)
    assert s.unfinished == 1
    s.check()


# -- not taken by the server


def delivered(qos: int, stale: bool) -> tuple[Session, list[bytes], int]:
    s = Session()
    out: list[bytes] = []
    s.connected(out, False)
    delivery = s.received(0x30 | qos << 1, 1, 7 if qos == 2 else 0)
    if stale:
        s.disconnected()
    return s, out, delivery


@statement("5.0", "MQTT-4.3.3-9")
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("stale", [False, True])
@pytest.mark.parametrize("reason", [0, REFUSED])
def test_what_is_not_taken_is_forgotten_and_the_client_told_where_there_is_a_reason(
    qos: int, stale: bool, reason: int
) -> None:
    s, out, delivery = delivered(qos, stale)
    early_ends.not_taken(s, delivery, reason)
    assert not s.inbound
    first = PUBACK if qos == 1 else PUBREC
    assert out == ([bytes((first, 3, 0, 1, reason))] if reason and not stale else [])
    s.check()


@pytest.mark.parametrize("reason", [0, REFUSED])
def test_what_stands_for_another_message_or_is_handled_stays(reason: int) -> None:
    s, out, delivery = delivered(2, False)
    early_ends.not_taken(s, delivery ^ 1 << 16, reason)
    assert s.inbound
    s.handled(delivery, s.generation)
    out.clear()
    early_ends.not_taken(s, delivery, reason)
    assert s.inbound[1] & 15 == session.HELD and not out


# -- the peer has lost the session


@pytest.mark.parametrize("state", ["SENT1", "SENT2", "RELEASED"])
@pytest.mark.parametrize("key", [b"", b"\0", b"\1"])
def test_what_a_peer_has_lost_is_sent_as_new_and_what_it_had_released_is_in_doubt(state: str, key: bytes) -> None:
    s, _, ended = under_way(state, key)
    s.disconnected()
    out: list[bytes] = []
    s.connected(out, False)
    records = s.store.records  # type: ignore[union-attr, attr-defined]
    if state == "RELEASED" and key != b"\1":
        assert (ended, out, records) == ([(0, IN_DOUBT)], [], [(DOUBT, 0)])
    else:
        assert (ended, out[0]) == ([], HEAD[1 if state == "SENT1" else 2])
        assert records == [(ACCEPTED, 0)] * (state == "RELEASED")
    s.check()


def test_the_table_of_a_lost_session_has_a_row_for_every_state() -> None:
    states = {row >> 8 for row in session.OUTBOUND} - {session.FREE}
    inputs = (lost_session.PEER_LOST, lost_session.PEER_LOST_KEYED)
    assert set(lost_session.LOST_OUTBOUND) == {state << 8 | each for state in states for each in inputs}


def test_no_row_stands_in_two_tables() -> None:
    assert not session.OUTBOUND.keys() & early_ends.EARLY.keys()
    assert not session.INBOUND.keys() & early_ends.NOT_TAKEN.keys()


# -- what has to be durable first


def test_packets_wait_for_every_record_but_the_end_of_a_message_whose_identifier_nobody_needs_soon() -> None:
    s = Session()
    s.sent = s.next = 40000
    for kind in (ACCEPTED, RELEASED, DOUBT, HELD, FREED, LOST, CLEARING):
        assert s.must_wait(kind, 0)
    assert not s.must_wait(DONE, 39999)
    assert s.must_wait(DONE, 0)


# -- errors


@pytest.mark.parametrize(
    ("state", "first", "words"),
    [
        ("SENT1", PUBREC, "PUBREC for packet identifier 1, whose message waits for PUBACK [4.3]"),
        ("SENT2", PUBCOMP, "PUBCOMP for packet identifier 1, whose message waits for PUBREC [4.3]"),
        ("RELEASED", PUBACK, "PUBACK for packet identifier 1, whose message waits for PUBCOMP [4.3]"),
    ],
)
def test_an_error_names_the_packet_and_what_its_message_waits_for(state: str, first: int, words: str) -> None:
    s, _, _ = under_way(state)
    with pytest.raises(ProtocolError) as error:
        s.acknowledged(first, 1)
    assert str(error.value) == words


def test_an_error_about_a_message_that_came_says_how_far_it_is() -> None:
    s, _, _ = delivered(2, False)
    with pytest.raises(ProtocolError) as error:
        s.released(1)
    assert str(error.value) == (
        "PUBREL for packet identifier 1, whose message came at QoS 2, and is not handled yet [4.3]"
    )
    assert PUBREL >> 4 == 6


# -- invariants


def test_what_does_not_hold_is_said_in_words() -> None:
    s, _, _ = under_way("SENT1")
    s.unfinished = 2
    with pytest.raises(AssertionError, match="does not hold: 1 messages are unfinished, and 2 are counted"):
        s.check()
    s, _, _ = under_way("SENT1")
    s.first = 1
    with pytest.raises(AssertionError, match="does not hold: "):
        s.check()
    s, _, _ = delivered(1, False)
    s.out = None
    with pytest.raises(AssertionError, match="without a connection, packet identifier 1 has none"):
        s.check()
