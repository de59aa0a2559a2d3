"""The chaos runner: a slice of what `python -m benchmarks.chaos` runs in full, and that its counters count."""

import sys
from pathlib import Path

from benchmarks.chaos.brokers import may_die
from benchmarks.chaos.counts import count
from benchmarks.chaos.pairs import PAHO, PAIRS, Pair
from benchmarks.chaos.plan import KINDS, NO_FAULTS, draw_plan, without_broker_deaths
from benchmarks.chaos.run import run
from benchmarks.chaos.wire import Confirmed
from tests.crash import planted
from tests.crash.producer import payload

MESSAGES = 100
OURS = PAIRS[0]


async def test_whatever_is_cut_stalls_or_dies_our_client_and_broker_handle_each_message_once(tmp_path: Path) -> None:
    plan = draw_plan("mixed", 2, 1, MESSAGES)
    if not may_die(OURS.broker):
        plan = without_broker_deaths(plan)
    counts = await run(OURS, plan, 2, MESSAGES, tmp_path)
    assert counts.clean, counts
    assert counts.kills >= 2
    assert counts.cuts + counts.stalls >= 1


async def test_a_consumer_that_drops_doubles_and_swaps_messages_is_found_out(tmp_path: Path) -> None:
    def command(role: str, url: str, folder: Path, qos: int, messages: int) -> list[str]:
        if role == "producer":
            return PAHO.command(role, url, folder, qos, messages)
        return [sys.executable, "-m", planted.__name__, url, str(folder), str(qos), str(messages)]

    counts = await run(Pair("planted", PAHO._replace(command=command), "mqttlite"), NO_FAULTS, 2, 30, tmp_path)
    assert counts.lost == counts.confirmed_lost == [planted.DROPPED]
    assert counts.duplicated == [planted.DOUBLED]
    assert counts.misordered == [planted.LATE]
    assert not counts.failure
    assert not counts.clean


def test_lost_is_what_was_accepted_and_confirmed_lost_what_was_confirmed() -> None:
    counts = count(accepted=range(6), confirmed=(0, 1, 3), handled=(0, 2, 1, 2, 5))
    assert counts.lost == [3, 4]
    assert counts.confirmed_lost == [3]
    assert counts.duplicated == [2]
    assert counts.misordered == [1]


def test_a_repeat_is_no_disorder() -> None:
    assert count((), (), (0, 1, 2, 0, 1, 2, 3)).misordered == []
    assert count((), (), (0, 3, 1, 2)).misordered == [1, 2]


def publish(packet_id: int, number: int, qos: int) -> bytes:
    body = b"\0\x01t" + packet_id.to_bytes(2, "big") + bytes(120) + payload(number)  # its length takes two bytes
    return bytes((0x30 | qos << 1, len(body) & 127 | 128, len(body) >> 7)) + body


def test_confirmed_is_what_puback_and_pubcomp_say_by_packet_identifier() -> None:
    confirmed = Confirmed()
    confirmed.on_passed(True, publish(1, 41, qos=1))
    confirmed.on_passed(True, publish(2, 42, qos=2))
    confirmed.on_passed(False, b"\x50\x02\0\x02")  # PUBREC
    assert confirmed.numbers == set()
    confirmed.on_passed(False, b"\x70\x02\0\x02")
    assert confirmed.numbers == {42}
    confirmed.on_passed(False, b"\x40\x02\0\x01")
    assert confirmed.numbers == {41, 42}


def test_an_identifier_that_is_used_again_confirms_the_new_message_and_a_refusal_confirms_nothing() -> None:
    confirmed = Confirmed()
    confirmed.on_passed(True, publish(1, 41, qos=1))
    confirmed.on_passed(True, publish(1, 43, qos=1))
    confirmed.on_passed(False, b"\x40\x03\0\x01\x97")  # quota exceeded
    assert confirmed.numbers == set()
    confirmed.on_passed(False, b"\x40\x03\0\x01\0")
    assert confirmed.numbers == {43}


def test_the_same_seed_gives_the_same_plan_and_another_seed_another() -> None:
    for kind in KINDS:
        assert draw_plan(kind, 2, 7, 300) == draw_plan(kind, 2, 7, 300)
        assert draw_plan(kind, 2, 7, 300) != draw_plan(kind, 2, 8, 300)


def test_each_kind_of_fault_is_what_its_name_says() -> None:
    boundary, inside = draw_plan("boundary", 1, 1, 300), draw_plan("inside", 1, 1, 300)
    assert all(cut.part in (0, 1) for cut in boundary.producer_link + boundary.consumer_link)
    assert all(0 < cut.part < 1 for cut in inside.producer_link + inside.consumer_link)
    for role in ("producer", "consumer", "broker"):
        plan = draw_plan(role, 1, 1, 300)
        assert len(getattr(plan, role)) == 6
        assert plan == NO_FAULTS._replace(**{role: getattr(plan, role)}, down_s=plan.down_s)
    mixed = draw_plan("mixed", 1, 1, 300)
    assert mixed.producer_link and mixed.consumer_link and mixed.producer and mixed.consumer and mixed.broker
    assert without_broker_deaths(mixed).broker == []
