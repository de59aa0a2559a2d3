"""Rules, and what follows from them for one identity. Imports rule, identity.

What is not allowed is denied, and a rule that denies is stronger than all that allow, wherever it stands. To subscribe,
a client needs a right to some of what its topic filter matches: it is then sent what it may receive, and nothing else.
A filter of wildcards alone (`#`, `+/#`, `+/+`) needs a rule that covers all of it, and one that lies within a rule that
denies is refused.
"""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from .identity import Identity
from .rule import ACTIONS, PLACEHOLDERS, SUBSCRIBE, Pattern, Rule, covers, matches, overlaps, pattern_of

__all__ = ["Rights", "Rule", "Rules"]

COMMON = 1024  # rights that are kept for whoever has them
_NO_LEVEL = b"/+#\0"  # what a name must not contain to stand for a level


class Rights:
    """What an identity may do. `rules`: those that are for it, with what they are about."""

    __slots__ = ("_allowed", "_denied", "of")

    def __init__(self, of: object, rules: Iterable[tuple[Rule, Iterable[Pattern]]]) -> None:
        self.of = of  # whose answer it is
        self._allowed: dict[str, list[Pattern]] = {action: [] for action in ACTIONS}
        self._denied: dict[str, list[Pattern]] = {action: [] for action in ACTIONS}
        for rule, patterns in rules:
            lists = self._allowed if rule.allow else self._denied
            for action in rule.actions:
                lists[action] += patterns

    def may(self, action: str, topic: bytes) -> bool:
        """As Guard.may."""
        if action == SUBSCRIBE:
            return self._may_subscribe(pattern_of(topic))
        levels = topic.split(b"/")
        if not any(matches(pattern, levels) for pattern in self._allowed[action]):
            return False
        return not any(matches(pattern, levels) for pattern in self._denied[action])

    def _may_subscribe(self, wanted: Pattern) -> bool:
        fits = covers if wanted.is_everything else overlaps
        if not any(fits(pattern, wanted) for pattern in self._allowed[SUBSCRIBE]):
            return False
        return not any(covers(pattern, wanted) for pattern in self._denied[SUBSCRIBE])


def expanded(rule: Rule, identity: Identity) -> Iterator[Pattern]:
    """A rule's filter for `identity`, its placeholders filled in; one for each group where it has `%g`.

    A name that cannot stand for a level leaves out a rule that allows; of one that denies, what lies below that level
    is denied altogether.
    """
    groups = sorted(identity.groups) if "%g" in rule.filter else [""]
    for group in groups or [""]:
        values = {"%u": identity.user or "", "%c": identity.client_id, "%g": group}
        pattern = _filled(rule, values)
        if pattern is not None:
            yield pattern


def _is_fixed(rule: Rule) -> bool:
    return not any(mark in rule.filter for mark in PLACEHOLDERS)


def _filled(rule: Rule, values: dict[str, str]) -> Pattern | None:
    levels: list[bytes | None] = []
    pattern = pattern_of(rule.filter.encode())
    for level in pattern.levels:
        if level is not None and b"%" in level:
            text = level.decode()
            for value in [values[mark] for mark in PLACEHOLDERS if mark in text]:
                if not value or any(chr(byte) in value for byte in _NO_LEVEL):
                    return None if rule.allow else Pattern(tuple(levels) or (None,), True)
            level = _replaced(text, values).encode()
        levels.append(level)
    return Pattern(tuple(levels), pattern.rest)


def _replaced(text: str, values: dict[str, str]) -> str:
    """In one pass: what was put in is not looked at again."""
    found = []
    at = 0
    while at < len(text):
        mark = text[at : at + 2]
        if mark in values:
            found.append(values[mark])
            at += 2
        else:
            found.append(text[at])
            at += 1
    return "".join(found)


class Rules:
    """All rules of a broker; none: nobody may do anything."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules = tuple(rules)
        # What many clients have in common is there once: by the numbers of the rules that are for them.
        self._fixed = [(pattern_of(rule.filter.encode()),) if _is_fixed(rule) else () for rule in self._rules]
        self._common: dict[tuple[int, ...], Rights] = {}

    def __len__(self) -> int:
        return len(self._rules)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self._rules)

    def rights(self, identity: Identity) -> Rights:
        """What `identity` may do; kept with it."""
        rights = identity.rights
        if not isinstance(rights, Rights) or rights.of is not self:
            rights = self._rights(identity)
            identity.keep_rights(rights)
        return rights

    def _rights(self, identity: Identity) -> Rights:
        numbers = tuple(number for number, rule in enumerate(self._rules) if is_for(rule, identity))
        is_common = not identity.rules and all(self._fixed[number] for number in numbers)
        if is_common and numbers in self._common:
            return self._common[numbers]
        found: list[tuple[Rule, Iterable[Pattern]]] = []
        for number in numbers:
            rule = self._rules[number]
            found.append((rule, self._fixed[number] or list(expanded(rule, identity))))
        found += [(rule, list(expanded(rule, identity))) for rule in identity.rules if is_for(rule, identity)]
        rights = Rights(self, found)
        if is_common and len(self._common) < COMMON:
            self._common[numbers] = rights
        return rights

    def may(self, identity: Identity, action: str, topic: bytes) -> bool:
        """As Guard.may."""
        return self.rights(identity).may(action, topic)


def is_for(rule: Rule, identity: Identity) -> bool:
    """Whether a rule is about `identity`. The pattern for client identifiers is the operator's, the identifier is
    never one.
    """
    if rule.user is not None and rule.user != (identity.user if identity.user is not None else ""):
        return False
    if rule.group is not None and rule.group not in identity.groups:
        return False
    return rule.client is None or fnmatchcase(identity.client_id, rule.client)
