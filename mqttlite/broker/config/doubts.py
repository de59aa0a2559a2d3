"""What settings of a broker may mean, and is more likely a mistake: nobody can come in, or do anything. A start and
--test-config say it, a line each with what to do, and go on. Imports make_access's parts, not make_access.
"""

import re
from collections.abc import Iterator

from ...settings.found import check_name
from ..access.access import LOCAL, Access
from ..access.rule import ACTIONS, PLACEHOLDERS, PUBLISH, Rule
from ..access.users import Users
from ..limits import Limits
from ..listening.listen import ListenError, is_local_url
from ..listening.listener import TLS_SCHEMES, Listener
from .settings import Settings

_EVERYTHING = "#"

# Limits with which a broker is of no use when they are 0, which for others stands for any number; and why
_OF_NO_USE = {
    "connections": "nobody can connect",
    "connect_bytes": "nobody can connect",
    "client_id_bytes": "nobody with a client identifier can connect",
    "queue_bytes": "nobody gets messages of QoS 1 and 2",
    "filters": "nobody can subscribe",
    "filters_bytes": "nobody can subscribe",
    "all_filters_bytes": "nobody can subscribe",
    "topic_bytes": "nobody can publish or subscribe",
    "topic_levels": "nobody can publish or subscribe",
}


def doubts(settings: Settings, access: Access | None) -> list[str]:
    """A line for each doubt. `access`: as make_access makes it of these settings."""
    found = list(_of_limits(settings.make_limits()))
    if access is None:
        return found
    rules: list[Rule] = list(access.rules or ())
    found += _of_rules(rules, access)
    found += _of_users(rules, settings, access)
    for rule in dict.fromkeys(rules):
        if unknown := re.search("%(?![ucg])[a-z]", rule.filter):
            found.append(f"'{rule.filter}': {unknown[0]} stands for nothing; there are {', '.join(PLACEHOLDERS)}")
        if rule.client is not None and "[" in rule.client and "]" not in rule.client:
            found.append(f"client = {rule.client!r}: [ without ] is the sign itself; is it a pattern as [a-z]*?")
    for listener in settings.make_listeners():
        found += _of_listener(listener, access)
    if access.certificate_name is not None and not _asks_for_certificates(settings):
        found.append("certificate_users is of no use: no listener has client_ca")
    return found


def _of_limits(limits: Limits) -> Iterator[str]:
    usual = Limits()
    for name, why in _OF_NO_USE.items():
        if not getattr(limits, name):
            yield f"{name} = 0: {why}; 0 is none here, not any number. It is {getattr(usual, name)} without a word"


def _of_rules(rules: list[Rule], access: Access) -> Iterator[str]:
    """Rules with which nobody may do anything."""
    if access.rules is None:
        return
    if not rules:
        yield "there is no rule, so nobody may publish or subscribe to anything"
        return
    if not any(rule.allow for rule in rules):
        yield (
            "no rule allows anything, so nobody may publish or subscribe to anything: add a [[rule]] with publish, "
            "subscribe or all"
        )
        return
    denied: set[str] = set()
    for rule in rules:
        if not rule.allow and rule.filter == _EVERYTHING and (rule.user, rule.group, rule.client) == (None,) * 3:
            denied |= rule.actions
    if denied:
        what = "publish or subscribe" if denied >= set(ACTIONS) else "publish" if PUBLISH in denied else "subscribe"
        yield (
            f"a rule denies '{_EVERYTHING}' to everybody, and what denies is stronger than all that allows: nobody may "
            f"{what}. Leave it out: what no rule allows is denied anyway"
        )


def _of_users(rules: list[Rule], settings: Settings, access: Access) -> Iterator[str]:
    """Names that nobody has."""
    users = access.users
    names = [("[[rule]]", rule.user) for rule in rules if rule.user]
    if isinstance(users, Users):
        if not len(users):
            yield f"{settings.access['password_file']} has no user: mqttlite passwd adds one"
        names += [(f"group {group}", name) for group, members in settings.groups.items() for name in sorted(members)]
        for place, name in dict.fromkeys(names):
            if name not in users and access.certificate_name is None:
                try:
                    check_name(name, users, "user")
                except ValueError as error:
                    yield f"{place}: {error}"
    elif users is None and access.certificate_name is None:
        for place, name in dict.fromkeys(names):
            yield f"{place}: nobody is user '{name}': neither password_file nor certificate_users says who is one"
    for group in dict.fromkeys(rule.group for rule in rules if rule.group is not None):
        if not access.groups.get(group):
            yield f"[[rule]]: group '{group}' has nobody in it: write its users into [groups]"


def _of_listener(listener: Listener, access: Access) -> Iterator[str]:
    """Passwords that anybody can read, and doors through which nobody can come."""
    is_for_others = _is_for_others(listener.url)
    if access.users is not None:
        if listener.scheme not in TLS_SCHEMES and is_for_others:
            yield (
                f"{listener.url}: passwords cross the network there as anybody can read them; mqtts:// hides them "
                "(docs/tls.md), and mqttlite broker --init makes what that needs"
            )
        return
    asks = listener.tls is not None and bool(listener.tls.client_ca)
    if access.anonymous is True or (access.certificate_name is not None and asks):
        return
    if access.anonymous == LOCAL and not is_for_others:
        return
    who = "nobody from another machine" if access.anonymous == LOCAL else "nobody"
    if asks:
        why = 'certificates name no user; certificate_users = "common-name" takes their names'
    elif access.certificate_name is not None:
        why = "users are those of certificates, and it asks for none; client_ca does"
    else:
        why = "there are no users; mqttlite passwd makes a password_file"
    yield f"{listener.url}: {who} can connect there: {why}"


def _is_for_others(url: str) -> bool:
    """Whether other machines could connect there. What is no address now is said by who listens there; one that has
    been listened on for long may have no name now.
    """
    try:
        return not is_local_url(url)
    except ListenError:
        return False


def _asks_for_certificates(settings: Settings) -> bool:
    return "client_ca" in settings.tls or any("client_ca" in table for table in settings.listeners)
