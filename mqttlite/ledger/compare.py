"""Two ends of a way: every key that has left one and not come to the other, and every one that came more than once.
No I/O.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from .keyset import KeySet
from .steps import Key

REPEATS_NAMED = 10_000  # keys whose repeats are kept by name; further ones are counted


@dataclass
class End:
    """What one end knows. `what`: in words; `step`: what has happened to its keys. `untold`: of the keys that the other
    end asks for, those of which this one cannot say any more whether it has had them.
    """

    name: str
    what: str = ""
    step: str = ""
    keys: KeySet = field(default_factory=KeySet)
    repeats: dict[Key, int] = field(default_factory=dict)  # how often
    repeated: int = 0  # how many keys came more than once
    young: KeySet = field(default_factory=KeySet)  # of `keys`, those that may be under way still
    notes: list[str] = field(default_factory=list)  # what else has to be known of it

    def take(self, key: Key, times: int = 1) -> None:
        """It has this key, so many times."""
        times += 0 if self.keys.add(key) else self.repeats.get(key, 1)
        if times > 1:
            if key not in self.repeats:
                self.repeated += 1
                if len(self.repeats) >= REPEATS_NAMED:
                    return
            self.repeats[key] = times

    def cannot_tell(self, key: Key) -> bool:
        """Whether a key that it does not have may have come, and is forgotten."""
        return False


@dataclass
class Comparison:
    """`missing`: left and not arrived. `extra`: arrived, and the other end does not know of it. `untold`: neither.
    `under_way`: missing, and so young that it may still come.
    """

    start: End
    ends: list[End]
    missing: KeySet
    extra: KeySet
    untold: KeySet
    under_way: KeySet
    repeats: dict[Key, int]
    repeated: int

    @property
    def arrived(self) -> int:
        """How many keys of the first end have come to the other one."""
        return self.start.keys.count - self.missing.count - self.untold.count - self.under_way.count

    @property
    def is_clean(self) -> bool:
        """Whether nothing is missing and nothing came more than once."""
        return not (self.missing.count or self.repeated)


def compare(start: End, ends: Iterable[End]) -> Comparison:
    """What has left `start`, and whether it has come to any of `ends`, which are one end together."""
    ends = list(ends)
    gone = start.keys
    for end in ends:
        gone = gone.without(end.keys)
    missing, untold, under_way = KeySet(), KeySet(), KeySet()
    for key in gone:
        if any(end.cannot_tell(key) for end in ends):
            untold.add(key)
        elif key in start.young:
            under_way.add(key)
        else:
            missing.add(key)
    extra = KeySet()
    for end in ends:
        for key in end.keys.without(start.keys):
            extra.add(key)
    repeats: dict[Key, int] = {}
    for end in ends:
        for key, times in end.repeats.items():
            repeats[key] = max(times, repeats.get(key, 0))
    repeated = max([len(repeats), *(end.repeated for end in ends)])
    return Comparison(start, ends, missing, extra, untold, under_way, repeats, repeated)
