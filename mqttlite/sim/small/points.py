"""The fault points of docs/proof.md, each with a name, and which of them a schedule has hit.

A point is where a fault happened: in the words of faults.place, behind the fault's own, as `power off broker before
disk 9 | broker disk sync broker.db-wal`.
"""

import re
from collections import Counter
from collections.abc import Iterable


def _packet(kind: str, source: str, sink: str, where: str = "(before|inside|after)") -> str:
    return rf"\| {where} {kind} {source} to {sink}"


def _disk(who: str, what: str, file: str) -> str:
    return rf"(kill|power off) {who} .*\| {who} disk {what} {file}"


def _after(who: str, what: str) -> str:
    return rf"(kill|power off) {who} @.*\| {who}, after {what}"


POINTS: tuple[tuple[str, str], ...] = (
    ("accepting: the store's write, begun and torn", _disk("producer", "write", r"(state\.db-wal|j)")),
    ("accepting: the store's sync", _disk("producer", "sync", r"(state\.db-wal|j)")),
    ("accepting: accepted, and nothing sent", _packet("PUBLISH", "producer", "broker", "before")),
    ("sender: part of PUBLISH sent", _packet("PUBLISH", "producer", "broker", "inside")),
    ("sender: PUBLISH sent", _packet("PUBLISH", "producer", "broker", "after")),
    ("sender: PUBACK", _packet("PUBACK", "broker", "producer")),
    ("sender: PUBREC", _packet("PUBREC", "broker", "producer")),
    ("sender: PUBREL", _packet("PUBREL", "producer", "broker")),
    ("sender: PUBCOMP", _packet("PUBCOMP", "broker", "producer")),
    ("sender: dies with a packet just written", _after("producer", "(PUBLISH|PUBREL)")),
    ("sender: dies with a packet just arrived", _after("producer", "arrive")),
    ("broker, inbound: dies with a packet just arrived", _after("broker", "arrive")),
    ("broker: message, identifier and queue entries, begun and torn", _disk("broker", "write", r"broker\.db-wal")),
    ("broker: message, identifier and queue entries, sync", _disk("broker", "sync", r"broker\.db-wal")),
    ("broker: log carried over, or checkpoint", _disk("broker", "(write|sync)", r"broker\.db$")),
    ("broker: dies with an acknowledgement just written", _after("broker", "(PUBACK|PUBREC|PUBCOMP)")),
    ("broker: dies with SUBACK or CONNACK just written", _after("broker", "(SUBACK|CONNACK)")),
    ("session: SUBSCRIBE", _packet("SUBSCRIBE", "consumer", "broker")),
    ("session: SUBACK", _packet("SUBACK", "broker", "consumer")),
    ("session: CONNECT", _packet("CONNECT", r"\w+", "broker")),
    ("session: CONNACK", _packet("CONNACK", "broker", r"\w+")),
    ("broker, outbound: PUBLISH", _packet("PUBLISH", "broker", "consumer")),
    ("broker, outbound: PUBACK", _packet("PUBACK", "consumer", "broker")),
    ("broker, outbound: PUBREC", _packet("PUBREC", "consumer", "broker")),
    ("broker, outbound: PUBREL", _packet("PUBREL", "broker", "consumer")),
    ("broker, outbound: PUBCOMP", _packet("PUBCOMP", "consumer", "broker")),
    ("consumer: handler entered", _after("consumer", "(handle|arrive)")),
    ("consumer: effect and receipt, begun and torn", _disk("consumer", "write", r"app\.db-wal")),
    ("consumer: effect and receipt, sync", _disk("consumer", "sync", r"app\.db-wal")),
    ("consumer: dies with an acknowledgement just written", _after("consumer", "(PUBACK|PUBREC|PUBCOMP)")),
    ("link: cut before a packet", r"\| before "),
    ("link: cut inside a packet", r"\| inside "),
    ("link: cut after a packet", r"\| after [A-Z]"),
    ("link: abortive end", r"^cut .*reset"),
    ("link: orderly end", r"^cut .*close"),
    ("link: old bytes left unread", r"^cut .*unread"),
    ("link: silence, which keep alive has to notice", r"^cut .*silence"),
    ("storage: a write or sync fails", r"^fail "),
    ("storage: the disk is full", r"^full "),
    ("storage: names (create, delete) torn", r"^power off .*\| \w+ disk (create|delete|sync directory)"),
)  # fmt: skip

_compiled = [(name, re.compile(pattern)) for name, pattern in POINTS]


def hit(points: Iterable[str]) -> Counter[str]:
    """How often each named point was hit."""
    found: Counter[str] = Counter()
    for point in points:
        for name, pattern in _compiled:
            if pattern.search(point):
                found[name] += 1
    return found
