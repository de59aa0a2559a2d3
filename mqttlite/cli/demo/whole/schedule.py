"""Who is killed when, from a seed. No I/O."""

from dataclasses import dataclass
from random import Random

CALM_S = 4.0  # at the beginning
LEAST_S = 0.3  # until who was killed starts again,
MOST_S = 1.2  # at most
FROZEN_S = 0.08  # of the time, the second broker
AWAY_FROM, AWAY_TO = 0.22, 0.6  # of the time: so long the second broker is away


@dataclass(frozen=True)
class Fault:
    """At `at_s`, `who` is killed, and starts again `for_s` later. `is_kind`: it is asked to end. `is_frozen`: it is not
    killed, but does nothing for so long: connected, and mute.
    """

    at_s: float
    who: str
    for_s: float
    is_kind: bool = False
    is_frozen: bool = False


def faults(seed: int, seconds: float, boards: list[str], kills_cloud: bool) -> list[Fault]:
    """What happens to each of them in so many seconds; the last one is back a second before they are over.
    `kills_cloud`: the second broker keeps what it has acknowledged even so.
    """
    random = Random(seed)
    away_s = seconds * AWAY_FROM
    back_s = seconds * AWAY_TO
    found = [Fault(away_s, "cloud", back_s - away_s, not kills_cloud)]
    who = ["gateway", "gateway", "far end", *boards]
    if kills_cloud:
        who.append("cloud")
    last_s = seconds - MOST_S - 1
    for name in who:
        begin = back_s + 1 if name in ("cloud", "far end") else min(CALM_S, seconds / 4)
        found.append(Fault(random.uniform(begin, last_s), name, random.uniform(LEAST_S, MOST_S)))
    for_s = seconds * FROZEN_S
    found.append(Fault(random.uniform(back_s + 1, last_s + MOST_S - for_s), "cloud", for_s, is_frozen=True))
    return sorted(found, key=lambda fault: fault.at_s)
