"""docs/mutations.md: the register of planted bugs, for people and for the tests. A row has the bug's name, what it
breaks, the checker that must catch it, the world and the faults under which that did when the page was written last,
and who else noticed. What is changed in the code stands in the modules beside this, by name.
"""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mqttlite.sim.schedule import SEED, named
from mqttlite.sim.small.faults import parse

from .planting import CHECKERS, Bug, Change, Given, checker_of

PAGE = Path(__file__).parents[2] / "docs" / "mutations.md"
NONE = "none"
THEN = ", then "


def read(changes: Mapping[str, Change | Given]) -> dict[str, Bug]:
    """The bugs of the page, by name. ValueError: one of them is not in `changes`, or the other way round."""
    bugs = {}
    for line in _parts()[2].partition("\n\n")[0].splitlines():
        name, breaks, checker, world, faults, _ = re.split(r" ?\| ?", line)[1:-1]
        shown, _, seed = faults.partition(" (seed ")
        parsed = () if shown == NONE else tuple(map(parse, shown.split(THEN)))
        if name not in changes or checker not in CHECKERS:
            raise ValueError(f"{PAGE.name}: no change of the code is called '{name}', or no checker '{checker}'")
        bugs[name] = Bug(name, breaks, checker, named(world), parsed, int(seed[:-1] or SEED), changes[name])
    if missing := changes.keys() - bugs.keys():
        raise ValueError(f"{PAGE.name} has no row for {', '.join(missing)}")
    return bugs


def _parts() -> list[str]:
    """What is before the first table's rule, that rule, what is before the second's, that, and its rows."""
    return re.split(r"\n(\|---[|-]*)\n", PAGE.read_text(encoding="utf-8"))


def write(bugs: Mapping[str, Bug]) -> None:
    """Plant each, and write the page anew, with what caught them. LookupError when one is not caught."""
    lines = []
    caught: Counter[str] = Counter()
    for bug in bugs.values():
        schedule, problems, _count = bug.find()
        names = {checker_of(problem) for problem in problems}
        caught.update(names)
        others = ", ".join(sorted(names - {bug.checker}))
        faults = THEN.join(map(str, schedule.faults)) or NONE
        if schedule.seed != SEED:
            faults += f" (seed {schedule.seed})"
        lines.append(f"| {bug.name} | {bug.breaks} | {bug.checker} | {schedule.small} | {faults} | {others} |")
    tail = [f"| {name} | {words} | {caught[name]} |" for name, (words, _) in CHECKERS.items()]
    head, rule, table, rule_of_tail, _ = _parts()
    head_of_tail = table.rpartition("\n")[2]
    page = [head, rule, *lines, "", head_of_tail, rule_of_tail, *tail, ""]
    PAGE.write_text("\n".join(page), encoding="utf-8")
