"""Mosquitto's file of rules (`acl_file`), as rules of this broker.

    topic [read|write|readwrite|deny] FILTER        above the first `user`: for clients without a user name
    user NAME
    topic [read|write|readwrite|deny] FILTER        for this user, until the next one
    pattern [read|write|readwrite|deny] FILTER      for everybody, wherever it stands; %u and %c in it

As there, whoever connects may subscribe to everything, and is then sent what it may read. Other than there, a line
`deny` is stronger than all that allow, a pattern, too. A line that is none ends the reading: a broken file allows
nothing.
"""

from pathlib import Path

from .rule import PUBLISH, RECEIVE, SUBSCRIBE, Rule
from .secret_files import read_text

_ACCESS = {
    "read": frozenset((RECEIVE,)),
    "write": frozenset((PUBLISH,)),
    "readwrite": frozenset((PUBLISH, RECEIVE)),
    "deny": frozenset((PUBLISH, RECEIVE)),
}
_SUBSCRIBE = frozenset((SUBSCRIBE,))


def parse(text: str, where: str) -> list[Rule]:
    """The rules of a file. `where`: its name, for errors. ValueError names the line."""
    rules = [Rule("#", _SUBSCRIBE), Rule("$SYS/#", _SUBSCRIBE)]
    user = ""
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.rstrip()
        if not line or line.startswith("#"):
            continue
        kind, _, rest = line.partition(" ")
        rest = rest.lstrip()
        try:
            if kind == "user":
                if not rest:
                    raise ValueError("a user's name is missing")
                user = rest
            elif kind in ("topic", "pattern"):
                rules.append(_rule(rest, user if kind == "topic" else None))
            else:
                raise ValueError(f"a line begins with user, topic or pattern, not {kind!r:.40}")
        except ValueError as error:
            raise ValueError(f"{where}: line {number}: {error}") from None
    return rules


def _rule(text: str, user: str | None) -> Rule:
    word, blank, topic_filter = text.partition(" ")
    if not blank:
        word, topic_filter = "readwrite", word
    if word not in _ACCESS:
        raise ValueError(f"between topic and its filter stands one of {', '.join(_ACCESS)}, not {word!r:.40}")
    topic_filter = topic_filter.lstrip()
    if not topic_filter:
        raise ValueError("a topic filter is missing")
    return Rule(topic_filter, _ACCESS[word], word != "deny", user)


def read_rules(path: Path) -> list[Rule]:
    """The rules of a file. ValueError: it is broken, or everybody on this machine can change it."""
    return parse(read_text(path, "rules", may_be_read=True), str(path))
