"""Who may connect and what they may do, from what [access], [groups] and [[rule]] say and the files that they name."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ...settings.found import Mistakes
from ..access.access import LOCAL, Access
from ..access.acl_file import read_rules as read_acl_file
from ..access.device_file import groups_of, read_devices, rules_of
from ..access.rule import Rule
from ..access.rules import Rules
from ..access.users import name_of, read_users
from .access import ANYBODY, CLOSE, LOOPBACK, NOBODY, read_rule_file
from .settings import Settings

_ANONYMOUS: Mapping[str, bool | str] = {NOBODY: False, LOOPBACK: LOCAL, ANYBODY: True}


def make_access(settings: Settings) -> Access | None:
    """None where nothing is said about it: then everybody of this machine may everything. ValueError names the file
    that is broken, or can be read or changed by everybody on this machine.
    """
    told = settings.access
    if not told and settings.rules is None:
        return None
    groups, rules = dict(settings.groups), settings.rules
    wrong: list[str] = []  # of each file its own
    if "rule_file" in told:
        more_groups: dict[str, frozenset[str]] = {}
        more: list[Rule] = []
        with _kept(wrong), settings.naming("access", "rule_file"):
            more_groups, more = read_rule_file(Path(told["rule_file"]))
        if both := sorted(groups.keys() & more_groups.keys()):
            raise ValueError(f"{settings.where('groups', both[0])}{both[0]} is also in {told['rule_file']}")
        groups.update(more_groups)
        rules = [*(rules or ()), *more]
    if "acl_file" in told:
        with _kept(wrong), settings.naming("access", "acl_file"):
            rules = [*(rules or ()), *read_acl_file(Path(told["acl_file"]))]
    users = None
    if (devices := settings.device_file) and "password_file" in told:
        with _kept(wrong), settings.naming("devices", "file"):
            known = read_devices(devices).values()
            groups.update(groups_of(known))
            of_devices = rules_of(known, settings.devices.templates)
            rules = None if rules is None else [*rules, *of_devices]  # who may everything need not be told what
    if "password_file" in told:
        with _kept(wrong), settings.naming("access", "password_file"):
            users = read_users(Path(told["password_file"]), groups)
    if wrong:
        raise Mistakes(wrong)
    which = told.get("certificate_users", "")
    anonymous = _ANONYMOUS[told["anonymous"]] if "anonymous" in told else None
    if anonymous is None:
        anonymous = False if users is not None or which else LOCAL
    return Access(
        users=users,
        rules=None if rules is None else Rules(rules),
        anonymous=anonymous,
        certificate_name=partial(name_of, which=which) if which else None,
        close_denied=told.get("denied_publish") == CLOSE,
        groups=groups,
    )


def check_rules_stay(before: Settings, after: Settings) -> None:
    """ValueError where a reload would let everybody do everything who could not before: a file that is cut off before
    its rules is in order otherwise.
    """
    if _has_rules(before) and not _has_rules(after):
        raise ValueError(
            f"{after.where('access')}there is no rule any more ([[rule]], rule_file, acl_file), so everybody who is "
            "let in could do everything: is the file cut off? If it is meant so, restart"
        )


def _has_rules(settings: Settings) -> bool:
    return settings.rules is not None or "rule_file" in settings.access or "acl_file" in settings.access


@contextmanager
def _kept(wrong: list[str]) -> Iterator[None]:
    """What is wrong in the block goes to `wrong`."""
    try:
        yield
    except Mistakes as mistakes:
        wrong += mistakes.lines
    except ValueError as error:
        wrong.append(str(error))
