"""Messages that are never taken, by the broker or the consumer, in the simulated world; and cuts that only look so."""

from collections.abc import Callable
from random import Random

import pytest

from benchmarks import exploring
from mqttlite.client import suspects
from mqttlite.sim.net.packets import Cut, Packet
from mqttlite.sim.schedule import try_out
from mqttlite.sim.small.run import Run
from mqttlite.sim.small.small import Small

WORLDS = [small for small in exploring.WORLDS if isinstance(small, Small) and (small.poison or small.large)]


@pytest.mark.parametrize("small", WORLDS, ids=str)
def test_no_single_fault_loses_or_blocks_another_message_or_sets_one_aside(small: Small) -> None:
    """Some of them; `make simulate` goes through all."""
    for schedule in exploring.sample(exploring.singles(small), 60, 1):
        result = try_out(schedule)
        assert not result.problems, (schedule.command, result.problems)


@pytest.mark.parametrize("small", WORLDS, ids=str)
def test_nor_do_two_faults(small: Small) -> None:
    firsts = [try_out(schedule) for schedule in exploring.sample(exploring.singles(small), 25, 2)]
    for schedule in exploring.pairs(firsts, 1, 2):
        result = try_out(schedule)
        assert not result.problems, (schedule.command, result.problems)


def cut_run(small: Small, seed: int, cut: Callable[[Random, Packet], Cut | None], most: int) -> Run:
    """A world in which packets of the producer's connections meet cuts, `most` of them."""
    chance = Random(seed)
    left = most

    def start(run: Run) -> None:
        def on_packet(packet: Packet) -> Cut | None:
            nonlocal left
            ours = packet.way.connection.client.process is run.producer
            found = cut(chance, packet) if ours and left and not run.done else None
            left -= found is not None
            return found

        run.on_packet = on_packet

    return Run(small, seed, start)


def anywhere(chance: Random, packet: Packet) -> Cut | None:
    if chance.random() < 0.3:
        return Cut(chance.choice(("before", "inside", "after")), chance.choice(("reset", "close", "unread")))
    return None


def at_publish(chance: Random, packet: Packet) -> Cut | None:
    """As a broker does that does not want the message, and every second time."""
    if packet.kind == "PUBLISH" and chance.random() < 0.5:
        return Cut(chance.choice(("inside", "after")), "close")
    return None


def at_answers(chance: Random, packet: Packet) -> Cut | None:
    if packet.kind in ("PUBACK", "PUBREC", "PUBCOMP") and chance.random() < 0.6:
        return Cut("before", chance.choice(("close", "reset")))
    return None


@pytest.mark.parametrize("cut", [anywhere, at_publish, at_answers])
@pytest.mark.parametrize("small", [Small(1, 3, "sqlite"), Small(2, 3, "sqlite")], ids=str)
def test_cuts_of_any_number_set_nothing_aside(small: Small, cut: Callable[[Random, Packet], Cut | None]) -> None:
    for seed in range(1, 13):
        run = cut_run(small, seed, cut, 25)
        assert run.run() == [], seed


@pytest.mark.parametrize("small", [Small(1, 2, "sqlite", poison=True), Small(2, 1, "sqlite", poison=True)], ids=str)
def test_cuts_delay_the_verdict_and_do_not_change_it(small: Small) -> None:
    for seed in range(1, 9):
        run = cut_run(small, seed, anywhere, 12)
        assert run.run() == [], seed


def test_it_takes_all_rounds_and_a_few_seconds_to_find_out() -> None:
    run = Run(Small(1, 1, "sqlite", poison=True), 1)
    assert run.run() == []
    connects = [entry for entry in run.world.trace if entry[1:3] == ("producer", "connect")]
    assert len(connects) == 3 + suspects.ROUNDS + 1
    assert run.done_at < 6e9
