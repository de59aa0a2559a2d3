"""The file of devices: who is one, and by which template it got its rights. Written by `mqttlite device` and the
gateway's page, read by the broker beside its users.

    [greenhouse-7]
    template = "device"
    added = 2026-11-30

A template names topic filters; `%u` in them is the device's name. Each is a group of users for the broker, so that
rules are as many as there are templates, whatever the number of devices. Imports rule, secret_files.
"""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...settings.toml_file import read_toml, toml_key, toml_value
from .rule import PUBLISH, READ, Rule
from .secret_files import alone, refuse_public, write_secret
from .users import check_name

GROUP = "device template "  # and its name: a group that no [groups] can name by accident
TOPIC = "devices/%u"
DEFAULT = "device"

_HEAD = "# Devices of this broker, written by `mqttlite device` and the page: what else stands here is lost.\n"


@dataclass(frozen=True)
class Template:
    """What its devices may do. `topic`: below it is what is a device's own, and what its settings say."""

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    topic: str = TOPIC

    def rules(self, name: str) -> list[Rule]:
        """As rules. ValueError: a filter is none."""
        group = GROUP + name
        found = [Rule(each, frozenset((PUBLISH,)), group=group) for each in self.publish]
        return found + [Rule(each, READ, group=group) for each in self.subscribe]


BUILT_IN = {
    # what a board says, and all that it is told: commands, updates, its application's own
    DEFAULT: Template(("devices/%u/#",), ("devices/%u/#",)),
    # says something, and hears only what makes it a board that can be looked after
    "sensor": Template(("devices/%u/#",), ("devices/%u/command", "devices/%u/update")),
    # sees and sends everything: a program that evaluates, Home Assistant
    "application": Template(("#",), ("#", "$SYS/#")),
}


@dataclass(frozen=True)
class DeviceEntry:
    """`added`: the day, as 2026-11-30; "": not known."""

    name: str
    template: str = DEFAULT
    added: str = ""


def read_devices(path: Path) -> dict[str, DeviceEntry]:
    """The devices in a file, by name; none where it is not there. ValueError: it is broken, or all can change it."""
    if not path.exists():
        return {}
    refuse_public(path, "devices", may_be_read=True)
    found = {}
    for name, table in read_toml(path).items():
        try:
            found[name] = _entry(name, table)
        except ValueError as error:
            raise ValueError(f"{path}: [{toml_key(name)}]: {error}") from None
    return found


def _entry(name: str, table: Any) -> DeviceEntry:
    check_name(name)
    if not isinstance(table, dict):
        raise ValueError('must be a table, as [greenhouse-7] with template = "device"')
    for key in table:
        if key not in ("template", "added"):
            raise ValueError(f"unknown key {key!r:.40}; there are template, added")
    template = table.get("template", DEFAULT)
    if not isinstance(template, str):
        raise ValueError("template must be the name of a template, in quotes")
    added = table.get("added", "")
    return DeviceEntry(name, template, added.isoformat() if isinstance(added, datetime.date) else str(added))


def put_device(path: Path, entry: DeviceEntry, like: Path) -> None:
    """Enter a device, or replace the one of its name. A new file gets mode and owner of `like`. ValueError, OSError."""
    _change(path, entry.name, entry, like)


def remove_device(path: Path, name: str) -> bool:
    """Take a device out; whether it was there."""
    return _change(path, name, None, path)


def _change(path: Path, name: str, entry: DeviceEntry | None, like: Path) -> bool:
    with alone(path.parent):
        known = read_devices(path)
        before = known.pop(name, None)
        if entry is not None:
            known[name] = entry
        if before != entry:
            lines = [_HEAD]
            for each in sorted(known.values(), key=lambda one: one.name):
                lines.append(f"\n[{toml_key(each.name)}]\ntemplate = {toml_value(each.template)}\n")
                if each.added:
                    lines.append(f"added = {toml_value(each.added)}\n")
            write_secret(path, "".join(lines).encode(), as_before=True, like=like)
        return before is not None


def groups_of(devices: Iterable[DeviceEntry]) -> dict[str, frozenset[str]]:
    """Devices by the group of their template."""
    found: dict[str, set[str]] = {}
    for each in devices:
        found.setdefault(GROUP + each.template, set()).add(each.name)
    return {group: frozenset(names) for group, names in found.items()}


def rules_of(devices: Iterable[DeviceEntry], templates: Mapping[str, Template]) -> list[Rule]:
    """The rules of the templates that have devices. ValueError: a template is not there."""
    rules: list[Rule] = []
    for name in dict.fromkeys(each.template for each in devices):
        if name not in templates:
            who = next(each.name for each in devices if each.template == name)
            raise ValueError(f"device {who!r:.60}: there is no template {name!r:.60}; there are {', '.join(templates)}")
        rules += templates[name].rules(name)
    return rules
