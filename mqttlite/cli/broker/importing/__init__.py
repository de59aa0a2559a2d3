"""`mqttlite broker import mosquitto.conf`: the file for --config that says the same, and line by line what is taken
over, what becomes something else, and what is not there.

lines   mosquitto.conf, read      listeners   its listeners      words   what holds for all      access   its users
bridges its bridges
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from ...streams import one_line
from . import access, bridges, listeners, words
from .lines import CHANGED, NOT, TAKEN, Conf, read

_DESCRIPTION = """\
Writes the file for --config that says what Mosquitto's configuration does, as far as this broker has it, and says on
standard error, line by line, what is taken over, what becomes something else (changed), and what is not (NOT).
Password files and ACL files stay where they are and are read as they are. Mosquitto's messages and sessions are not
taken over: clients subscribe again, and retained messages come when they are published again.

  mqttlite broker import /etc/mosquitto/mosquitto.conf
  mqttlite broker import /etc/mosquitto/mosquitto.conf -o broker.toml
  mqttlite broker --config broker.toml --test-config"""

_STORE = "mqttlite.db"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the action to `broker`."""
    parser = subparsers.add_parser("import", help="Mosquitto's configuration", description=_DESCRIPTION)
    parser.add_argument("file", metavar="MOSQUITTO.CONF", help="Mosquitto's file, with what it includes")
    parser.add_argument("-o", "--output", metavar="FILE", help="the new file; it must not be there (standard output)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do it; the exit code. ValueError: the file cannot be read, a value of it is wrong, or the new one is there."""
    output = Path(args.output) if args.output else None
    if output and output.exists():
        raise ValueError(f"{output} is there already: choose another file for -o")
    conf = read(Path(args.file))
    text = toml(conf, args.file)
    mistakes = [line for line in conf.all if line.mistake]
    for line in mistakes:
        line.say(NOT, line.mistake)
    report(conf)
    if mistakes:
        places = ", ".join(f"{line.file}:{line.number}" for line in mistakes)
        raise ValueError(f"no file is written: mend the value at {places}")
    if output:
        output.write_text(text, encoding="utf-8")
        print(f"{output} is written; mqttlite broker --config {output} --test-config looks at it", file=sys.stderr)
    else:
        print(text, end="")
    return 0


def report(conf: Conf) -> None:
    """A line for each line."""
    counts = {TAKEN: 0, CHANGED: 0, NOT: 0}
    for line in conf.all:
        counts[line.kind] += 1
        shown = one_line(f"{line.word} {line.value}".strip())
        print(f"{line.kind:8}{line.file}:{line.number}: {shown}: {line.become}", file=sys.stderr)
    print(f"taken over: {counts[TAKEN]}, changed: {counts[CHANGED]}, not: {counts[NOT]}", file=sys.stderr)


def toml(conf: Conf, name: str) -> str:
    """The new file; each line of the old one is told what becomes of it."""
    limits: dict[str, Any] = {}
    connections: list[int] = []
    tables = [table for section in conf.listeners for table in listeners.tables(section, connections)]
    if connections:
        limits["connections"] = sum(connections)
    for line in conf.general.lines.values():
        if not line.kind:
            words.general(line, limits)
    store = _store(conf)
    allowed = access.table(conf, [str(table["url"]) for table in tables])
    for bridge in conf.bridges:
        for line in (*([bridge.head] if bridge.head else []), *bridge.lines.values()):
            bridges.say(line)
    said = {id(line) for line in conf.all if line.kind}
    for line in conf.all:
        if id(line) not in said:
            line.say(CHANGED, "a later line of the same listener says something else, and counts")
    return _written(name, tables, store, allowed, limits)


def _store(conf: Conf) -> str:
    general = conf.general
    location = general.value("persistence_location")
    is_on = general.is_true("persistence")
    store = str(Path(location or ".") / _STORE) if is_on else ""
    for word in ("persistence", "persistence_location", "persistence_file"):
        if word not in general.lines:
            continue
        line = general.lines[word]
        if not is_on:
            line.say(TAKEN, "no store: sessions live in memory")
        elif word == "persistence_file":
            line.say(CHANGED, f"store = {store}: another format; what is in the old file is not taken over")
        else:
            line.say(CHANGED, f"store = {store}: on the disk before each acknowledgement, not at intervals")
    return store


def _written(
    name: str, tables: list[dict[str, Any]], store: str, allowed: dict[str, Any], limits: dict[str, Any]
) -> str:
    from ....settings.toml_file import toml_value

    text = f"# mqttlite broker --config FILE; made of {one_line(name)} by mqttlite broker import\n"
    plain = [table["url"] for table in tables if len(table) == 1]
    if plain:
        text += f"\nlisten = {toml_value(plain)}\n"
    if store:
        text += f"store = {toml_value(store)}\n"
    for header, table in (("[access]", allowed), ("[limits]", limits)):
        if table:
            text += f"\n{header}\n" + "".join(f"{key} = {toml_value(value)}\n" for key, value in table.items())
    for table in tables:
        if len(table) > 1:
            text += "\n[[listener]]\n" + "".join(f"{key} = {toml_value(value)}\n" for key, value in table.items())
    return text
