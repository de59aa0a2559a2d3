"""The session of a client on CPython has short ways: they have to come to what the core's session comes to."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from mqttlite.core.codec import acknowledgement, publish_head
from mqttlite.core.errors import ProtocolError
from mqttlite.core.packet_types import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL
from mqttlite.core.session import ASIDE, SPAN, Session
from mqttlite.core.session_host import TAKEN, HostSession

WINDOW = 5
IDENTIFIERS = 12  # that the peer uses


class Records:
    """A store that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def record(self, *what: Any) -> None:
        self.told.append(what)


def form(seq: int, message: tuple[bytes, bytes, bytes]) -> tuple[bytes, ...] | None:
    """As of 5.0: some have expired."""
    return None if message[1] == b"expired" else (b"<", message[0], b">")


class Two:
    """The same of both kinds, and what they have told."""

    def __init__(self, start: int, has_store: bool, has_form: bool) -> None:
        self.both: list[Session] = [Session(WINDOW, 8, start), HostSession(WINDOW, 8, start)]
        self.finished: list[list[tuple[int, int]]] = [[], []]
        self.outs: list[list[bytes]] = [[], []]
        for session, finished in zip(self.both, self.finished, strict=True):
            session.on_finished = lambda seq, outcome, finished=finished: finished.append((seq, outcome))
            session.doubts = {}
            if has_store:
                session.store = Records()
            if has_form:
                session.form = form

    def do(self, what: Callable[[Session], Any]) -> Any:
        results = []
        for session in self.both:
            try:
                results.append(what(session))
            except ProtocolError as error:
                results.append(repr(error))
        assert results[0] == results[1]
        self.compare()
        return results[0]

    def connect(self, is_present: bool) -> None:
        self.outs = [[], []]
        for session, out in zip(self.both, self.outs, strict=True):
            session.connected(out, is_present)
        self.compare()

    def compare(self) -> None:
        core, host = self.both
        assert b"".join(self.outs[0]) == b"".join(self.outs[1])
        assert self.finished[0] == self.finished[1]
        left, right = vars(core).copy(), vars(host).copy()
        for state in (left, right):
            for name in ("store", "on_finished", "out"):
                state.pop(name, None)
        assert left == right
        if core.store:
            assert core.store.told == host.store.told  # type: ignore[attr-defined, union-attr]
        host.check()


def in_a_run(session: Session, first: int, packet_ids: list[int]) -> None:
    """Acknowledgements that have come together."""
    data = b"".join(acknowledgement(first, packet_id) for packet_id in packet_ids)
    at = 0
    while at < len(data):
        begun = at
        if isinstance(session, HostSession):
            at = session.released_run(data, at) if first == PUBREL else session.acknowledged_run(data, at)
        if at == begun:
            packet_id = packet_ids[at // 4]
            if first == PUBREL:
                session.released(packet_id)
            else:
                session.acknowledged(first, packet_id)
            at += 4


def step(dice: random.Random, two: Two, given: list[tuple[int, int]]) -> None:
    core = two.both[0]
    what = dice.random()
    if what < 0.35:
        payload = b"expired" if dice.random() < 0.1 else b"%d" % dice.randint(0, 9)
        head = publish_head(dice.choice((2, 4)), b"t", len(payload))
        two.do(lambda session: session.publish(head, payload))
    elif what < 0.65:
        near = max(core.first + dice.randint(-1, WINDOW), 0)
        first = dice.choice((PUBACK, PUBREC, PUBCOMP))
        message = core.messages.get(near)
        if message and dice.random() < 0.9:  # what a peer would say
            first = {2: PUBACK, 4: PUBREC, 6: PUBCOMP}[message[0][0] & 6]
        reason = 0x80 if dice.random() < 0.03 else 0
        if reason:
            two.do(lambda session: session.acknowledged(first, near % SPAN + 1, reason))
        else:
            # Where a message expires meanwhile, the end of each is told when it is known, which for a run is later.
            seqs = range(near, near + (1 if core.form else dice.randint(1, 4)))
            two.do(lambda session: in_a_run(session, first, [seq % SPAN + 1 for seq in seqs]))
    elif what < 0.8 and core.out is not None:
        packet_id = dice.randint(1, IDENTIFIERS)
        first = PUBLISH | dice.choice((2, 4)) | (8 if dice.random() < 0.2 else 0)
        digest = dice.randint(1, 3) if first & 4 else 0
        delivery = two.do(lambda session: session.received(first, packet_id, digest))
        if isinstance(delivery, int) and delivery:
            given.append((delivery, core.generation))
    elif what < 0.9 and given:
        delivery = given.pop(dice.randrange(len(given)))
        two.do(lambda session: session.handled(*delivery))
    elif what < 0.95:
        packet_ids = [dice.randint(1, IDENTIFIERS) for _ in range(dice.randint(1, 4))]
        two.do(lambda session: in_a_run(session, PUBREL, packet_ids))
    elif what < 0.97:
        two.do(lambda session: session.packet_id())
    elif what < 0.98 and core.messages:
        seq = dice.choice(list(core.messages))
        if core.messages[seq][0][0] & 6 != 6:
            outcome = dice.choice((0, ASIDE))
            two.do(lambda session: session.give_up(seq, outcome))
    elif what < 0.99:
        two.do(lambda session: session.disconnected())
    else:
        if core.out is not None:
            two.do(lambda session: session.disconnected())
        two.connect(dice.random() < 0.7)


@pytest.mark.source("looks into objects")
@pytest.mark.parametrize("has_store", [False, True], ids=["memory", "store"])
@pytest.mark.parametrize("has_form", [False, True], ids=["as kept", "form"])
def test_whatever_happens_the_two_kinds_of_session_do_the_same(has_store: bool, has_form: bool) -> None:
    finished = 0
    for seed in range(60):
        dice = random.Random(seed)
        two = Two(dice.choice((0, 7, SPAN - 3, 2 * SPAN - 2)), has_store, has_form)
        two.connect(False)
        given: list[tuple[int, int]] = []
        for _ in range(150):
            step(dice, two, given)
        finished += len(two.finished[0])
    assert finished > 500, "messages have come to their ends"


def test_a_message_that_is_no_repeat_has_the_state_that_the_table_gives_it() -> None:
    for first, state in TAKEN.items():
        session = Session()
        if first & 6:
            session.received(first, 1, 0)
        assert session.inbound.get(1, 0) == state
