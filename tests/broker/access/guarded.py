"""A broker's engine with users and rules, and clients made of bytes.

world = Guarded(allow("a/#", user="anna"), deny("a/secret"))
anna = world.enter("anna", "sensor")          # the user, the client identifier
"""

from typing import Any

from mqttlite.broker.access.access import Access
from mqttlite.broker.access.rule import ALL, PUBLISH, RECEIVE, SUBSCRIBE, Rule
from mqttlite.broker.access.rules import Rules
from mqttlite.broker.engine import Engine
from mqttlite.broker.limits import Limits
from tests.broker.five import Five
from tests.broker.world import Wire, World

__all__ = ["PUBLISH", "RECEIVE", "SUBSCRIBE", "Guarded", "KnownUsers", "access", "allow", "deny"]


class KnownUsers:
    """Users whose password is their name backwards. `slow`: those whose check takes a thread."""

    def __init__(self, groups: dict[str, set[str]], slow: bool = False) -> None:
        self.groups = groups
        self.slow = slow

    def __contains__(self, name: object) -> bool:
        return name in self.groups

    def groups_of(self, name: str) -> frozenset[str]:
        return frozenset(self.groups.get(name, ()))

    def quick(self, name: str, password: bytes) -> bool | None:
        return None if self.slow else self.check(name, password)

    def check(self, name: str, password: bytes) -> bool:
        return name in self.groups and password == name[::-1].encode()


def allow(topic_filter: str, *actions: str, **who: str) -> Rule:
    return Rule(topic_filter, frozenset(actions) or ALL, **who)


def deny(topic_filter: str, *actions: str, **who: str) -> Rule:
    return Rule(topic_filter, frozenset(actions) or ALL, False, **who)


def access(*rules: Rule, users: dict[str, set[str]] | None = None, slow: bool = False, **more: Any) -> Access:
    """Users anna and bert, anonymous clients, and these rules."""
    more.setdefault("anonymous", True)
    known = {"anna": {"staff"}, "bert": set()} if users is None else users
    return Access(users=KnownUsers(known, slow), rules=Rules(rules), **more)


class Guarded(World):
    def __init__(self, *rules: Rule, limits: dict[str, Any] | None = None, **more: Any) -> None:
        self.engine = Engine(Limits(**limits or {}), guard=access(*rules, **more))
        self.now = 1000
        self.stats = self.engine.stats

    def enter(self, user: str | None = None, client_id: str = "", clean: bool = True, **more: Any) -> Wire:
        """A client of 3.1.1 with this user's password, after its CONNACK."""
        if user is not None:
            more = {"username": user, "password": user[::-1].encode()} | more
        return self.connect(client_id or user or "", clean, **more)

    def five(self, user: str | None = None, client_id: str = "", **more: Any) -> Five:
        """The same in 5.0."""
        return Five(self, client_id or user or "", user=user, password=(user or "")[::-1].encode(), **more)

    def set(self, *rules: Rule, **more: Any) -> None:
        """Other users and rules from now on."""
        self.engine.set_guard(access(*rules, **more), self.now)
        self.flush()
