"""[access], [groups] and [[rule]]: who may connect, and what they may do.

[access]
password_file = "/etc/mqttlite/users"       # mqttlite passwd, or Mosquitto's
certificate_users = "common-name"           # or alternative-name: a client's certificate names its user
anonymous = "loopback"                      # without a user name: nobody, loopback, anybody-on-the-network
denied_publish = "close"                    # in 3.1.1; or acknowledge, and drop it
rule_file = "/etc/mqttlite/rules.toml"      # [groups] and [[rule]] in a file of their own
acl_file = "/etc/mosquitto/acl"             # Mosquitto's

[groups]
family = ["ann", "bob"]

[[rule]]
group = "family"                            # or user, client (a pattern); none of them: everybody
all = ["home/#"]                            # publish, subscribe, all, deny
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...settings.found import Found, check_name
from ..access.rule import ALL, PUBLISH, READ, Rule
from ..access.secret_files import refuse_public
from ..access.users import CERTIFICATE_USERS
from .settings import Settings

KEYS = ("access", "groups", "rule")

NOBODY = "nobody"
LOOPBACK = "loopback"
ANYBODY = "anybody-on-the-network"
ANONYMOUS = (NOBODY, LOOPBACK, ANYBODY)

# What becomes of a PUBLISH of 3.1.1 that is denied, for which 3.1.1 has no word; 5.0 has one
ACKNOWLEDGE = "acknowledge"
CLOSE = "close"

_CHOICES = {
    "certificate_users": CERTIFICATE_USERS,
    "anonymous": ANONYMOUS,
    "denied_publish": (ACKNOWLEDGE, CLOSE),
}
_FILES = ("password_file", "rule_file", "acl_file")
_ACTIONS = {
    "publish": (frozenset((PUBLISH,)), True),
    "subscribe": (READ, True),
    "all": (ALL, True),
    "deny": (ALL, False),
    "deny_publish": (frozenset((PUBLISH,)), False),
    "deny_subscribe": (READ, False),
}
_WHO = ("user", "group", "client")


def read(found: Found, settings: Settings) -> None:
    """Take the tables over."""
    with found.gathering():
        settings.access = found.table("access")
        found.names(("access",), (*_FILES, *_CHOICES))
        for name, value in settings.access.items():
            with found.gathering():
                _check(found, name, value)
    settings.groups = read_groups(found)
    if "rule" in found.data:
        settings.rules = read_rules(found, settings.groups)


def _check(found: Found, name: str, value: object) -> None:
    at = ("access", name)
    if name in _FILES:
        if not isinstance(value, str) or not value:
            raise found.mistake(at, f"{name} has to be the path of a file, in quotes, not {value!r:.60}")
    elif value not in _CHOICES[name]:
        raise found.mistake(at, f"{name} has to be one of {', '.join(_CHOICES[name])}, not {value!r:.60}")


def read_groups(found: Found) -> dict[str, frozenset[str]]:
    """[groups], a list of users for each."""
    groups = {}
    with found.gathering():
        for name, members in found.table("groups").items():
            with found.gathering():
                if not isinstance(members, list) or not all(isinstance(each, str) and each for each in members):
                    text = f'{name} has to be a list of users, as ["ann", "bob"], not {members!r:.60}'
                    raise found.mistake(("groups", name), text)
                groups[name] = frozenset(members)
    return groups


def read_rules(found: Found, groups: Mapping[str, frozenset[str]]) -> list[Rule]:
    """[[rule]]."""
    rules: list[Rule] = []
    with found.gathering():
        refuse_public(found.path, "rules", may_be_read=True)
    with found.gathering():
        for number, table in enumerate(found.tables("rule", "each set of rights")):
            with found.gathering():
                rules += _rules(found, number, table, groups)
    return rules


def _rules(found: Found, number: int, table: dict[str, Any], groups: Mapping[str, frozenset[str]]) -> Iterator[Rule]:
    at = ("rule", number)
    found.names(at, (*_WHO, *_ACTIONS))
    who = {name: table[name] for name in _WHO if name in table}
    for name, value in who.items():
        if not isinstance(value, str) or (not value and name != "user"):
            raise found.mistake((*at, name), f"{name} has to be a name in quotes, not {value!r:.60}")
    if "group" in who:
        try:
            check_name(who["group"], groups, "group")
        except ValueError as error:
            raise found.mistake((*at, "group"), error) from None
    if not set(table) & set(_ACTIONS):
        raise found.mistake(at, f"it has no topics: add one of {', '.join(_ACTIONS)}")
    for name, (actions, allow) in _ACTIONS.items():
        filters = table.get(name, [])
        if not isinstance(filters, list) or not all(isinstance(each, str) for each in filters):
            raise found.mistake(
                (*at, name), f'{name} has to be a list of topic filters, as ["home/#"], not {filters!r:.60}'
            )
        for each in filters:
            try:
                yield Rule(each, actions, allow, **who)
            except ValueError as error:
                raise found.mistake((*at, name), error) from None


def read_rule_file(path: Path) -> tuple[dict[str, frozenset[str]], list[Rule]]:
    """Groups and rules of a file of their own. ValueError: it is broken."""
    found = Found(path)
    for name in found.data:
        with found.gathering():
            found.name((), name, ("groups", "rule"))
    groups = read_groups(found)
    rules = read_rules(found, groups)
    found.finish()
    return groups, rules
