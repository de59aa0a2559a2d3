"""The tables of a broker's store hold the sum of what was recorded."""

import contextlib
import sqlite3

from hypothesis import given, settings
from hypothesis import strategies as st

from mqttlite.core import records as r
from mqttlite.core.records import State
from mqttlite.store.tables.broker_tables import (
    BEGUN,
    CLOCK,
    ENDED,
    EXPIRY,
    OFFLINE,
    RETAINED,
    WILL,
    BrokerState,
    BrokerTables,
    Record,
    Times,
    Will,
)
from mqttlite.store.tables.sqlite_schema import migrate

# What a BrokerState has
Sum = tuple[dict[bytes, State], dict[bytes, tuple[bytes, int, bytes]], dict[int, Times], dict[int, Will], int]


def model(batches: list[list[Record]]) -> Sum:
    """The sum of the records, the plain way."""
    sessions: dict[int, State] = {}
    retained: dict[bytes, tuple[bytes, int, bytes]] = {}
    times: dict[int, Times] = {}
    wills: dict[int, Will] = {}
    clock = 0
    for session, kind, number, head, payload, extra in (record for batch in batches for record in batch):
        if kind == BEGUN:
            sessions[session] = State()
            sessions[session].client_id = head
            sessions[session].next = number
            times[session] = Times(0, 0)
        elif kind == ENDED:
            del sessions[session], times[session]
            wills.pop(session, None)
        elif kind == RETAINED:
            retained.pop(head, None)
            if payload:
                retained[head] = (payload, number, extra)
        elif kind == EXPIRY:
            times[session] = times[session]._replace(expiry_ms=number)
        elif kind == OFFLINE:
            sent = int.from_bytes(head, "big") if head else -1
            times[session] = times[session]._replace(offline=number, sent=sent)
        elif kind == WILL:
            wills.pop(session, None)
            if head:
                wills[session] = Will(head, payload, number & 7, number >> 3, extra)
        elif kind == CLOCK:
            clock = number
        else:
            sessions[session].apply(kind, number, head, payload, extra)
    return {state.client_id: state for state in sessions.values()}, retained, times, wills, clock


KINDS = (
    *("accept", "accept", "done", "release", "held", "lost", "sub", "session", "retain"),
    *("times", "will", "clock"),
)
extras = st.sampled_from((b"", b"\0\x26\0\1a\0\1b"))


@st.composite
def histories(draw: st.DrawFn) -> list[list[Record]]:
    """What a broker records, in batches."""
    batches: list[list[Record]] = [[]]
    after: dict[int, int] = {}
    unfinished: dict[int, list[int]] = {}
    for step in range(draw(st.integers(1, 60))):
        batch = batches[-1]
        what = draw(st.sampled_from(KINDS))
        if what == "session" or not after:
            session = draw(st.integers(1, 3))
            if session in after:
                batch.append((session, ENDED, 0, b"", b"", b""))
                del after[session]
            else:
                batch.append((session, BEGUN, 0, b"client %d" % step, b"", b""))
                after[session] = 0
                unfinished[session] = []
            continue
        session = draw(st.sampled_from(sorted(after)))
        if what == "accept":
            number = after[session]
            after[session] += draw(st.integers(1, 2))
            unfinished[session].append(number)
            batch.append((session, r.ACCEPTED, number, b"\x34\x04\x00\x01t", b"%d" % step, draw(extras)))
        elif what in ("done", "release") and unfinished[session]:
            number = draw(st.sampled_from(unfinished[session]))
            if what == "done":
                unfinished[session].remove(number)
            batch.append((session, r.DONE if what == "done" else r.RELEASED, number, b"", b"", b""))
        elif what == "held":
            number = draw(st.integers(1, 3))
            digest = draw(st.integers(0, 2))
            held = (r.HELD, digest << 16 | number)
            batch.append((session, *draw(st.sampled_from((held, held, (r.FREED, number)))), b"", b"", b""))
        elif what == "lost":
            batch.append((session, r.LOST, 0, b"", b"", b""))
        elif what == "sub":
            kind = draw(st.sampled_from((r.SUBSCRIBED, r.UNSUBSCRIBED)))
            batch.append((session, kind, draw(st.integers(0, 2)), draw(st.sampled_from((b"a", b"b/#"))), b"", b""))
        elif what == "retain":
            payload = draw(st.sampled_from((b"", b"x", b"%d" % step)))
            batch.append((0, RETAINED, 1, draw(st.sampled_from((b"t", b"u"))), payload, draw(extras)))
        elif what == "times":
            sent = draw(st.sampled_from((b"", bytes(8), b"\0\0\0\0\0\0\0\7")))
            kind = draw(st.sampled_from((EXPIRY, OFFLINE)))
            batch.append((session, kind, draw(st.integers(0, 3)), sent if kind == OFFLINE else b"", b"", b""))
        elif what == "will":
            topic = draw(st.sampled_from((b"", b"w")))
            batch.append((session, WILL, draw(st.integers(0, 40)) if topic else 0, topic, b"gone", draw(extras)))
        elif what == "clock":
            batch.append((0, CLOCK, step, b"", b"", b""))
        if draw(st.booleans()):
            batches.append([])
    return batches


@settings(max_examples=100, deadline=None)
@given(histories())
def test_what_comes_back_is_the_sum_of_what_was_recorded(batches: list[list[Record]]) -> None:
    tables = BrokerTables()
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection, "memory", tables)
        for batch in batches:
            connection.execute("BEGIN")
            tables.write(connection, batch)
            connection.execute("COMMIT")
            tables.committed()
        kept: BrokerState = tables.load(connection)
    sessions, retained, times, wills, clock = model(batches)
    for state in sessions.values():
        state.next = max(state.next, 0)
    assert {name: vars(state) for name, (_, state) in kept.sessions.items()} == {
        name: vars(state) for name, state in sessions.items()
    }
    assert kept.retained == [(topic, payload, qos, extra) for topic, (payload, qos, extra) in retained.items()]
    assert (kept.times, kept.wills, kept.clock) == (times, wills, clock)
