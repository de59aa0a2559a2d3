"""One rule of access, and how topics and topic filters are compared with it (4.7). Imports core.

A rule names a topic filter of the operator's. What a client says (its user name, its client identifier, topics) is
compared with it level by level and is never a pattern itself: `%u` and `%c` stand for one level, or a part of one, and
a name that has `/`, `+` or `#` in it, or nothing, stands for no level at all.
"""

from dataclasses import dataclass
from typing import NamedTuple

from ...core.errors import ProtocolError
from ...core.text import check_topic_filter

# What a client may do with a topic: publish to it (its will, too), subscribe with a topic filter, be sent its messages.
PUBLISH = "publish"
SUBSCRIBE = "subscribe"
RECEIVE = "receive"
ACTIONS = (PUBLISH, SUBSCRIBE, RECEIVE)

READ = frozenset((SUBSCRIBE, RECEIVE))
"""Actions of a `Rule`: subscribe, and be sent messages."""
WRITE = frozenset((PUBLISH,))
"""Actions of a `Rule`: publish."""
ALL = READ | WRITE

PLACEHOLDERS = ("%u", "%c", "%g")  # user name, client identifier, each of the user's groups


@dataclass(frozen=True, slots=True)
class Rule:
    """Allows `actions` on topics that match `filter`, or with `allow` False denies them.

    Whom it is for: `user`, a user name ("": those without one); `group`; `client`, a pattern over client identifiers
    as in the shell (`*`, `?`, `[...]`). None: whoever it is; all that are given have to fit. In `filter`, `%u` stands
    for the user name, `%c` for the client identifier, `%g` for each of the user's groups. ValueError for what cannot
    be a rule.
    """

    filter: str
    actions: frozenset[str] = ALL
    allow: bool = True
    user: str | None = None
    group: str | None = None
    client: str | None = None

    def __post_init__(self) -> None:
        if not self.actions or not self.actions <= ALL:
            raise ValueError(f"a rule's actions are some of {', '.join(ACTIONS)}, not {self.actions!r:.60}")
        try:
            check_topic_filter(self.filter.encode())
        except (ProtocolError, ValueError) as error:
            raise ValueError(f"{self.filter!r:.100} is no topic filter: {error}") from None


class Pattern(NamedTuple):
    """A topic filter by level. None: any level (`+`). `rest`: ends in `#`."""

    levels: tuple[bytes | None, ...]
    rest: bool

    @property
    def is_everything(self) -> bool:
        """Whether it has nothing but wildcards."""
        return not any(level is not None for level in self.levels)


def pattern_of(topic_filter: bytes) -> Pattern:
    """Of a valid topic filter."""
    levels = topic_filter.split(b"/")
    rest = levels[-1] == b"#"
    if rest:
        levels.pop()
        levels = levels or [b"+"]  # which is the same, for each topic has a level
    return Pattern(tuple(None if level == b"+" else level for level in levels), rest)


def matches(pattern: Pattern, name: list[bytes]) -> bool:
    """Whether a topic name, by level, matches. A wildcard in the first level does not match `$...` [MQTT-4.7.2-1]."""
    levels, rest = pattern
    count = len(levels)
    if len(name) < count or (len(name) > count and not rest):
        return False
    if levels[0] is None and name[0][:1] == b"$":
        return False
    return all(wanted is None or wanted == level for wanted, level in zip(levels, name, strict=False))


def _is_reserved(pattern: Pattern) -> bool:
    return (pattern.levels[0] or b"")[:1] == b"$"


def _is_wild(pattern: Pattern) -> bool:
    return pattern.levels[0] is None


def covers(wide: Pattern, narrow: Pattern) -> bool:
    """Whether `wide` matches each topic name that `narrow` matches."""
    count = len(wide.levels)
    if len(narrow.levels) < count or (narrow.rest and not wide.rest):
        return False
    if len(narrow.levels) > count and not wide.rest:
        return False
    if _is_wild(wide) and _is_reserved(narrow):
        return False
    return all(a is None or a == b for a, b in zip(wide.levels, narrow.levels, strict=False))


def overlaps(one: Pattern, other: Pattern) -> bool:
    """Whether some topic name matches both."""
    if len(one.levels) > len(other.levels):
        one, other = other, one
    if len(one.levels) < len(other.levels) and not one.rest:
        return False
    if (_is_wild(one) and _is_reserved(other)) or (_is_wild(other) and _is_reserved(one)):
        return False
    return all(a is None or b is None or a == b for a, b in zip(one.levels, other.levels, strict=False))
