"""The list of mutations, and the worlds in which they show."""

from collections.abc import Callable

from mqttlite.sim.small.small import Small

from .planting import CHECKERS, Mutation, Patch

MUTATIONS: dict[str, Mutation] = {}  # by name

ONE = Small(1, 1, "sqlite")
ONE_JOURNAL = Small(1, 1, "journal")
ONE_TWO = Small(1, 2, "sqlite")
ONE_KEYS = Small(1, 1, "sqlite", True)
ONE_MANY = Small(1, 30, "sqlite")
TWO = Small(2, 1, "sqlite")
TWO_JOURNAL = Small(2, 1, "journal")
TWO_TWO = Small(2, 2, "sqlite")
TWO_MANY = Small(2, 30, "journal")
TWO_ROLLBACK = Small(2, 1, "sqlite", rollback=True)


def mutation(
    name: str,
    breaks: str,
    checker: str,
    small: Small,
    *faults: str,
    setting: Callable[[Patch], None] | None = None,
) -> Callable[[Callable[[Patch], None]], None]:
    """Enter a function that plants a bug into MUTATIONS."""

    def enter(plant: Callable[[Patch], None]) -> None:
        assert checker in CHECKERS and name not in MUTATIONS
        MUTATIONS[name] = Mutation(name, breaks, checker, small, faults, plant, setting)

    return enter
