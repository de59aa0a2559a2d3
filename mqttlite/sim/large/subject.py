"""What a problem of a large world is about: which message, on its way from where to where, or which two processes that
are not done with each other. Knows the parts of the world, and the words of the checkers; no trace, no pixels.
"""

import re
from typing import NamedTuple

from .base import LargeScene
from .parts import Parts

_NAME = re.compile(r"\b(?P<name>device\d+ \d+)(?: \(QoS \d\))? at (?P<reader>\w+)")
_PART = re.compile(r"\b(?:device|reader|broker|gateway|bridge)\d+\b")


class Subject(NamedTuple):
    """`message`: its name ("device3 17"), "": all between the processes. `lanes`: processes in the order in which
    messages flow. `clients`: client identifiers whose connections matter. `until`: ns, 0: as long as it takes.
    """

    message: str
    lanes: list[str]
    clients: set[str]
    until: int = 0


def parts_in(text: str) -> list[str]:
    """Processes that a text names, in order."""
    return list(dict.fromkeys(_PART.findall(text)))


def subject_of(run: LargeScene, problem: str) -> Subject:
    """What a problem is about."""
    names = parts_in(problem)
    found = _NAME.search(problem)
    if found and found["name"] in run.ledger.entries:
        return message_subject(run, found["name"], [found["reader"]])
    if len(names) == 1 and "deliveries at QoS 0" in problem and (gone := _gone(run, names[0])):
        return gone
    at, client = run.conduct.found.get(problem, (0, ""))
    names = [client.removesuffix("-out")] if client else names
    lanes = [lane for name in names for lane in _path(run.parts, name)]
    if not lanes:
        lanes = [*run.parts.brokers, *(device.name for device in run.parts.devices)]
    clients = {name for lane in lanes for name in (lane, f"{lane}-out")}
    return Subject("", in_order(run.parts, lanes), clients, at)


def _gone(run: LargeScene, broker: str) -> Subject | None:
    """The first message of QoS 0 that has come to a broker's devices and not to its readers."""
    for entry in run.ledger.entries.values():
        for reading in run.ledger.readings.values():
            is_its = entry.publisher.broker == reading.broker == broker and run.ledger.way(entry, reading)[0] is reading
            if is_its and not min(entry.qos, reading.qos) and entry.name not in reading.first:
                return message_subject(run, entry.name, [reading.name])
    return None


def first_subject(run: LargeScene) -> Subject:
    """The first message that a reader has handled, or any; where there is none, everything."""
    for reading in run.ledger.readings.values():
        if reading.effects:
            return message_subject(run, reading.effects[0], [reading.name])
    names = list(run.ledger.entries)
    return message_subject(run, names[0]) if names else subject_of(run, "")


def message_subject(run: LargeScene, message: str, readers: list[str] | None = None) -> Subject:
    """A message on its way to these readers (none: all that there are for it). ValueError: there is no such message."""
    entry = run.ledger.entries.get(message)
    if entry is None:
        some = ", ".join(list(run.ledger.entries)[:3]) or "none at all"
        raise ValueError(f"there is no message '{message}' in this world; there is {some} …")
    for reader in readers or ():
        if reader not in run.ledger.readings:
            raise ValueError(f"there is no reader '{reader}' in this world; there is {', '.join(run.ledger.readings)}")
    lanes = _path(run.parts, entry.publisher.name)
    for reading in run.ledger.readings.values():
        source, is_bridged = run.ledger.way(entry, reading)
        if source is None or (readers and reading.name not in readers):
            continue
        lanes += _path(run.parts, reading.name)
        if is_bridged:
            lanes += _path(run.parts, source.name)
    lanes = in_order(run.parts, lanes)
    return Subject(message, lanes, {name for lane in lanes for name in (lane, f"{lane}-out")})


def _path(parts: Parts, name: str) -> list[str]:
    """A process and those that its messages pass next."""
    for device in parts.devices:
        if device.name == name:
            return [name, *([device.line[0]] if device.line else []), device.broker]
    for reader in parts.readers:
        if reader.name == name:
            return [reader.broker, name]
    for bridge in parts.bridges:
        if bridge.name == name:
            return [bridge.source, name, bridge.target]
    return [name]


def in_order(parts: Parts, lanes: list[str]) -> list[str]:
    """These processes as messages flow: from devices over gateways, brokers and bridges to readers."""
    order = [device.name for device in parts.devices] + list(parts.gateways)
    sources = {bridge.source for bridge in parts.bridges}
    order += [name for name in parts.brokers if name in sources] + [bridge.name for bridge in parts.bridges]
    order += [name for name in parts.brokers if name not in sources] + [reader.name for reader in parts.readers]
    return [name for name in order if name in lanes]
