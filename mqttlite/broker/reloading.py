"""Other settings for a broker that runs, all of them or none, and a line in the log for each that is another one.
Imports doors, limits, access, audit.

What can fail comes first and changes nothing: files are read, sockets opened. Then everything changes in one turn of
the loop, before anybody else is read.
"""

from dataclasses import fields
from typing import TYPE_CHECKING

from .access.access import LOCAL, Access
from .access.guard import Guard
from .access.users import Users
from .connections.doors import ASKED, UNWANTED, WELCOME
from .limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator


def strangers(guard: Guard, has_authenticate: bool) -> str:
    """What becomes of clients of which nobody knows who they are (doors.py)."""
    if has_authenticate or (isinstance(guard, Access) and guard.anonymous is not True):
        return ASKED
    return WELCOME if isinstance(guard, Access) else UNWANTED


def differences(before: Limits, after: Limits) -> "Iterator[str]":
    """In words, what is different in two Limits."""
    for each in fields(Limits):
        old, new = getattr(before, each.name), getattr(after, each.name)
        if old == new:
            continue
        if isinstance(old, tuple):
            yield _of_rules(each.name, old, new)
        else:
            yield f"limit {each.name}: {old}, now {new}"


def _of_rules(name: str, old: "tuple[object, ...]", new: "tuple[object, ...]") -> str:
    name = "named queues and streams" if name == "named" else name
    gone = sum(each not in new for each in old)
    come = sum(each not in old for each in new)
    if gone or come:
        return f"rules of {name}: {gone} removed, {come} added, now {len(new)}"
    return f"rules of {name}: the same {len(new)} in another order"


def differences_of_access(before: Guard, after: Guard) -> "Iterator[str]":
    """In words, what is different in who may connect and what they may do. Never a password."""
    old = before if isinstance(before, Access) else Access(anonymous=True)
    new = after if isinstance(after, Access) else Access(anonymous=True)
    yield from _of_users(old.users, new.users)
    if old.anonymous != new.anonymous:
        yield f"clients without a user name: {_SHOWN[old.anonymous]}, now {_SHOWN[new.anonymous]}"
    if (old.certificate_name is None) != (new.certificate_name is None):
        yield f"certificates of clients name {'no' if new.certificate_name is None else 'their'} user"
    if old.closes_denied != new.closes_denied:
        what = "closes the connection" if new.closes_denied else "is acknowledged, and goes nowhere"
        yield f"a message of 3.1.1 that its client may not publish now {what}"
    left, there = (None if each.rules is None else list(each.rules) for each in (old, new))
    if left is not None and there is not None:
        gone, come = set(left) - set(there), set(there) - set(left)
        if gone or come:
            yield f"rules: {len(gone)} removed, {len(come)} added, now {len(there)}"
    elif left is not None:
        yield "rules: there are none any more, everybody who is let in may do everything"
    elif there is not None:
        yield f"rules: there were none, now {len(there)}"


_SHOWN: dict[bool | str, str] = {False: "nobody", True: "everybody", LOCAL: "those of this machine"}


def _of_users(old: object, new: object) -> "Iterator[str]":
    before = old if isinstance(old, Users) else Users({})
    after = new if isinstance(new, Users) else Users({})
    for name in after:
        if name not in before:
            yield f"user {name!a} is added"
        elif not after.same_password(name, before):
            yield f"user {name!a} has another password"
        elif after.groups_of(name) != before.groups_of(name):
            yield f"user {name!a} is in other groups: {', '.join(sorted(after.groups_of(name))) or 'none'}"
    for name in before:
        if name not in after:
            yield f"user {name!a} is deleted"


def succeed(before: Guard, after: Guard) -> None:
    """What users have shown to the guard before is remembered, and whose password is another one is known."""
    if not isinstance(before, Access) or not isinstance(after, Access):
        return
    if isinstance(before.users, Users) and isinstance(after.users, Users):
        after.users.remember(before.users)
        users = before.users
        after.other_passwords = frozenset(
            name for name in after.users if name in users and not after.users.same_password(name, users)
        )
