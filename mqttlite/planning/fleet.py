"""The user's numbers: a TOML file, read and checked. Every key has a default, so that a nearly empty file works.

What a key means stands in examples/fleet.toml; its type and its limits stand here, in the tables of fields. A mistake
is a FleetError that names the file, the line, the section and the key.
"""

import dataclasses
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ..settings.toml_file import read_toml

YEAR_DAYS = 365.0


class FleetError(ValueError):
    """The plan cannot be used; the text says where, and what would be right."""


def _number(default: float, low: float, high: float) -> Any:
    """A whole one where `default` is."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


def _choice(*choices: str) -> Any:
    return dataclasses.field(default=choices[0], metadata={"choices": choices})


@dataclass(frozen=True)
class Run:
    """What is simulated: `hours` of virtual time, of which at most `detail` messages one by one."""

    hours: float = _number(24.0, 0.001, 24 * 366)
    detail: int = _number(50_000, 100, 1_000_000_000)
    seed: int = _number(1, 0, 2**63)


@dataclass(frozen=True)
class Messages:
    """One kind of message that each device of a group publishes: `burst` at once, every `every_s` seconds."""

    name: str = "reading"
    topic: str = ""  # "": site/<group>-<number>/<name>
    payload_bytes: int = _number(64, 0, 65535)
    qos: int = _number(1, 0, 2)
    every_s: float = _number(1.0, 0.001, 1e7)
    burst: int = _number(1, 1, 1000)
    random: bool = False  # at random intervals of this mean (Poisson), not like clockwork


@dataclass(frozen=True)
class Commands:
    """What is sent to each device, and answered by it."""

    topic: str = ""  # "": site/<group>-<number>/command
    payload_bytes: int = _number(32, 0, 65535)
    qos: int = _number(2, 0, 2)
    every_s: float = _number(60.0, 0.001, 1e7)
    random: bool = True
    answer_topic: str = ""  # "": site/<group>-<number>/answer
    answer_bytes: int = _number(64, 0, 65535)
    answer_qos: int = _number(2, 0, 2)


@dataclass(frozen=True)
class Devices:
    """A group of equal devices, each on a line of its own or on the Wi-Fi."""

    name: str = "device"
    count: int = _number(1, 1, 100_000)
    link: str = _choice("serial", "wifi")
    store: str = _choice("memory", "journal", "raw")
    cpu_ms: float = _number(4.0, 0.0, 10_000)
    window: int = _number(18, 1, 65535)
    cuts_per_year: float = _number(0.0, 0.0, 1e6)
    baud: int = _number(0, 0, 10_000_000)  # 0: as [serial] says
    messages: tuple[Messages, ...] = (Messages(),)
    commands: Commands | None = dataclasses.field(default=None, metadata={"table": Commands})


@dataclass(frozen=True)
class Serial:
    """The lines, and the link on them (mqttlite/link)."""

    baud: int = _number(115200, 300, 10_000_000)
    bit_errors: float = _number(0.0, 0.0, 0.01)
    dropped: float = _number(0.0, 0.0, 0.1)
    frame_bytes: int = _number(128, 32, 255)
    window: int = _number(8, 1, 16)
    latency_ms: float = _number(4.0, 0.0, 1000)


@dataclass(frozen=True)
class Wifi:
    """One access point that all Wi-Fi devices share."""

    mbit_s: float = _number(20.0, 0.1, 10_000)
    overhead_ms: float = _number(0.4, 0.0, 100)
    loss: float = _number(0.05, 0.0, 0.9)
    latency_ms: float = _number(3.0, 0.0, 10_000)


@dataclass(frozen=True)
class Flash:
    """The flash of a device that its store may use."""

    size_kb: int = _number(1024, 8, 1 << 20)
    endurance: int = _number(100_000, 1, 10**9)
    program_ms: float = _number(2.0, 0.0, 10_000)
    erase_ms: float = _number(45.0, 0.0, 10_000)


@dataclass(frozen=True)
class Gateway:
    """The computer of the gateway, and the broker if that runs there. `slower`: than where costs were measured."""

    slower: float = _number(3.0, 0.01, 1000)
    latency_ms: float = _number(0.2, 0.0, 10_000)
    cuts_per_year: float = _number(0.0, 0.0, 1e6)
    outage_s: float = _number(60.0, 0.0, 1e6)


@dataclass(frozen=True)
class Broker:
    """The broker. `store`: where persistent sessions are; with sqlite each commit takes `sync_ms`."""

    store: str = _choice("memory", "sqlite")
    sync_ms: float = _number(5.0, 0.0, 60_000)
    slower: float = _number(3.0, 0.01, 1000)
    window: int = _number(20, 1, 65535)


@dataclass(frozen=True)
class Consumer:
    """The one program that takes all messages, one after the other."""

    slower: float = _number(1.0, 0.01, 1000)
    handler_ms: float = _number(0.0, 0.0, 60_000)
    inbox: bool = False
    sync_ms: float = _number(2.0, 0.0, 60_000)
    latency_ms: float = _number(0.2, 0.0, 10_000)


@dataclass(frozen=True)
class Fleet:
    """The whole plan."""

    run: Run = Run()
    devices: tuple[Devices, ...] = (Devices(),)
    serial: Serial = Serial()
    wifi: Wifi = Wifi()
    flash: Flash = Flash()
    gateway: Gateway = Gateway()
    broker: Broker = Broker()
    consumer: Consumer = Consumer()

    @property
    def rate(self) -> float:
        """Messages a second of all devices, answers included, commands not."""
        return sum(group.count * rate_of(group) for group in self.devices)


def rate_of(group: Devices) -> float:
    """Messages that one device of the group publishes in a second."""
    rate = sum(kind.burst / kind.every_s for kind in group.messages)
    return rate + (1 / group.commands.every_s if group.commands else 0)


_Table = TypeVar("_Table")


def load(path: str | Path) -> Fleet:
    """The plan in a file. FleetError, also when it cannot be read."""
    path = Path(path)
    try:
        data = read_toml(path)
    except ValueError as error:
        raise FleetError(str(error)) from None
    return parse(data, path.read_text(encoding="utf-8-sig"), str(path))


def parse(data: dict[str, Any], text: str, name: str) -> Fleet:
    """The plan in `data`, which `text` says in TOML; `name` is what errors call it. FleetError."""
    reader = _Reader(text, name)
    fleet = reader.table(Fleet, data, "")
    reader.check_sums(fleet)
    return fleet


class _Reader:
    """Turns tables into dataclasses. `where`: a section, such as "devices[1].messages[0]"; "" is the file itself."""

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._lines = _lines_of_keys(text)

    def _error(self, where: str, key: str, what: str) -> FleetError:
        line = self._lines.get((where, key)) or self._lines.get((where, ""))
        at = f", line {line}" if line else ""
        section = f"[{_INDEX.sub('', where)}] " if where else ""
        return FleetError(f"{self._name}{at}: {section}{key}: {what}")

    def table(self, kind: type[_Table], data: dict[str, Any], where: str) -> _Table:
        fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
        values: dict[str, Any] = {}
        for key, value in data.items():
            if key not in fields:
                raise self._error(where, key, f"no such key; there are {', '.join(fields)}")
            inner = f"{where}.{key}" if where else key
            default = fields[key].default
            if isinstance(default, tuple):
                if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
                    raise self._error(where, key, f"must be a list of tables: [[{key}]]")
                values[key] = tuple(self.table(type(default[0]), one, f"{inner}[{i}]") for i, one in enumerate(value))
            elif dataclasses.is_dataclass(default) or "table" in fields[key].metadata:
                if not isinstance(value, dict):
                    raise self._error(where, key, f"must be a table: [{key}]")
                values[key] = self.table(fields[key].metadata.get("table", type(default)), value, inner)
            else:
                values[key] = self._value(fields[key], value, where)
        return kind(**values)

    def _value(self, field: "dataclasses.Field[Any]", value: Any, where: str) -> Any:
        default: Any = field.default
        limits = field.metadata
        if isinstance(default, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(default):
            words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text in quotes"}
            raise self._error(where, field.name, f"must be {words[type(default)]}, not {_shown(value)}")
        if "choices" in limits and value not in limits["choices"]:
            raise self._error(where, field.name, f"must be one of {', '.join(limits['choices'])}, not {_shown(value)}")
        if "low" in limits and not (limits["low"] <= value <= limits["high"] and math.isfinite(value)):
            low, high = limits["low"], limits["high"]
            raise self._error(where, field.name, f"must be {low:g} to {high:g}, not {_shown(value)}")
        if field.name.endswith("topic") and len(value.encode()) > 65535:
            raise self._error(where, field.name, "longer than 65535 bytes")
        return value

    def check_sums(self, fleet: Fleet) -> None:
        """What is wrong only together."""
        names = [group.name for group in fleet.devices]
        for number, group in enumerate(fleet.devices):
            where = f"devices[{number}]"
            if names.index(group.name) != number:
                raise self._error(where, "name", f"two groups are called {_shown(group.name)}")
            if 0 < group.baud < 300:
                raise self._error(where, "baud", f"must be 0 (as [serial] says) or 300 to 1e+07, not {group.baud}")
            kinds = [kind.name for kind in group.messages] + ["answer"] * (group.commands is not None)
            if len(set(kinds)) < len(kinds):
                raise self._error(where, "messages", "two kinds of messages have the same name (commands: answer)")
        if sum(group.count for group in fleet.devices) > 100_000:
            raise self._error("devices[0]", "count", "more than 100000 devices in all")


def _shown(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 40 else text[:37] + "…"


_INDEX = re.compile(r"\[\d+\]")
_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]")
_KEY = re.compile(r"""\s*(?:"([^"]+)"|'([^']+)'|([\w-]+))\s*[=.]""")


def _lines_of_keys(text: str) -> dict[tuple[str, str], int]:
    """Line numbers by section and key; of a section itself by "". A guide for people: tomllib says none."""
    lines: dict[tuple[str, str], int] = {}
    counts: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header:
            section = ""
            levels = [level.strip().strip("\"'") for level in header[2].split(".")]
            for depth, level in enumerate(levels):
                outer = section
                section = f"{section}.{level}" if section else level
                lines.setdefault((outer, level), number)
                if header[1] == "[[" and depth == len(levels) - 1:
                    counts[section] = counts.get(section, -1) + 1
                if section in counts:
                    section = f"{section}[{counts[section]}]"
            lines[section, ""] = number
        elif key := _KEY.match(line):
            lines.setdefault((section, key[1] or key[2] or key[3]), number)
    return lines
