"""What happens in a run, drawn from its seed: where links are cut or stall, who dies when.

The plan does not depend on who runs: every pair of client and broker gets the same one.
"""

import random
from typing import NamedTuple

from tests.crash.harness import draw_deaths
from tests.crash.program import Death
from tests.crash.proxy import Cut, Fault, Stall

KINDS = {
    "boundary": "links cut between packets",
    "inside": "links cut inside packets",
    "stall": "links stall",
    "producer": "producer killed",
    "consumer": "consumer killed",
    "broker": "broker killed",
    "mixed": "all of these",
}
BROKER_DIES = ("broker", "mixed")

SPAN = 40  # packets of one direction within which a cut or stall falls, counted from the one before
SHORT_S = (0.02, 0.3)  # a stall that nobody notices but by the delay
LONG_S = (2.5, 3.5)  # one in which both ends give the link up: the client after 2 keep alives, the broker after 1.5
DOWN_S = (0.0, 0.3)  # until a killed broker runs again
KEEP_ALIVE_S = 60
KEEP_ALIVE_OF_STALLS_S = 1


class Plan(NamedTuple):
    """The faults of a run."""

    producer_link: list[Fault]
    consumer_link: list[Fault]
    producer: list[Death]
    consumer: list[Death]
    broker: list[Death]  # packets of both links, counted from its start
    down_s: list[float]  # after each death of the broker
    keep_alive_s: int


NO_FAULTS = Plan([], [], [], [], [], [], KEEP_ALIVE_S)


def draw_plan(kind: str, qos: int, seed: int, messages: int) -> Plan:
    """The plan of a kind of KINDS. The same arguments give the same plan."""
    draw = random.Random(f"{kind} {qos} {seed} {messages}")
    lives = max(2, min(6, messages // 20))
    faults = max(4, messages // 20)

    def link() -> list[Fault]:
        if kind == "mixed":
            kinds = (_boundary, _inside, _short)
            return [draw.choice(kinds)(draw) for _ in range(faults // 2)]
        if kind == "stall":
            return [_short(draw) for _ in range(faults // 2)]
        one = {"boundary": _boundary, "inside": _inside}.get(kind)
        return [one(draw) for _ in range(faults)] if one else []

    def deaths(role: str, links: int = 1) -> list[Death]:
        count = lives if kind == role else lives // 2 if kind == "mixed" else 0
        return draw_deaths(draw, ["kill"] * count, messages * links, qos)

    links = [link(), link()]
    if kind == "stall":
        one = draw.choice(links)
        one[draw.randrange(len(one))] = _long(draw)
    broker = deaths("broker", links=2)
    return Plan(
        producer_link=links[0],
        consumer_link=links[1],
        producer=deaths("producer"),
        consumer=deaths("consumer"),
        broker=broker,
        down_s=[draw.uniform(*DOWN_S) for _ in broker],
        keep_alive_s=KEEP_ALIVE_OF_STALLS_S if kind == "stall" else KEEP_ALIVE_S,
    )


def _boundary(draw: random.Random) -> Fault:
    return Cut(draw.random() < 0.5, draw.randrange(SPAN), draw.choice((0.0, 1.0)), draw.random() < 0.5)


def _inside(draw: random.Random) -> Fault:
    return Cut(draw.random() < 0.5, draw.randrange(SPAN), draw.uniform(0.01, 0.99), draw.random() < 0.5)


def _short(draw: random.Random) -> Fault:
    return _stall(draw, SHORT_S, draw.random() < 0.5)


def _long(draw: random.Random) -> Fault:
    return _stall(draw, LONG_S, True)


def _stall(draw: random.Random, seconds: tuple[float, float], both: bool) -> Fault:
    part = draw.choice((0.0, 1.0, draw.random()))
    return Stall(draw.random() < 0.5, draw.randrange(SPAN), part, draw.uniform(*seconds), both)


def without_broker_deaths(plan: Plan) -> Plan:
    """The same plan for a broker that keeps nothing on disk."""
    return plan._replace(broker=[], down_s=[])
