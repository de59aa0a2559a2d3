"""The fault points of docs/proof.md, each with a name, and which of them a schedule has hit.

A point is where a fault happened: in the words of sim/small/placing.py, behind the fault's own, as `power off broker
before disk 9 | broker disk sync broker.db-wal`. Where a step does not tell it all, it ends with the state of the world
and with what has come of the fault (circumstances.py), as `... [producer sends again]; many packets are read at once`.
"""

import re
from collections import Counter
from collections.abc import Iterable


def _while(state: str, fault: str = "") -> str:
    return rf"^{fault}.*\[([^]]*, )?{state}[],]"


def _ever(state: str) -> str:
    return rf"[\[,;] ?{state}([],;]|$)"


def _then(what: str, fault: str = "") -> str:
    return rf"^{fault}.*; {what}(;|$)"


def _frame(kind: str, source: str, sink: str) -> str:
    return rf"^(unplug|part|damage|shorten|swallow) .*\| ((before|inside|after) )?{kind} {source} to {sink}"


def _packet(kind: str, source: str, sink: str, where: str = "(before|inside|after)") -> str:
    return rf"^cut .*\| {where} {kind} {source} to {sink}"


def _disk(who: str, what: str, file: str) -> str:
    return rf"(kill|power off) {who} .*\| {who} disk {what} {file}"


def _after(who: str, what: str) -> str:
    return rf"(kill|power off) {who} @.*\| {who}, after {what}"


OPENS = "{} opens its store again"
DIES = "(kill|power off) "

POINTS: tuple[tuple[str, str], ...] = (
    ("accepting: the store's write, begun and torn", _disk("(producer|device)", "write", r"(state\.db-wal|j)")),
    ("accepting: the store's sync", _disk("(producer|device)", "sync", r"(state\.db-wal|j)")),
    ("accepting: accepted, and nothing sent", _packet("PUBLISH", "producer", "broker", "before")),
    ("accepting: the application has been told", _after("(producer|device)", "accepted")),
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
    ("broker: log carried over, or checkpoint", _disk("broker", "(write|sync)", r"broker\.db(?![-.\w])")),
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
    ("link: cut before a packet", r"^cut before "),
    ("link: cut inside a packet", r"^cut inside "),
    ("link: cut after a packet", r"^cut after "),
    ("link: abortive end", r"^cut .*reset"),
    ("link: orderly end", r"^cut .*close"),
    ("link: old bytes left unread", r"^cut .*unread"),
    ("link: silence, which keep alive has to notice", r"^cut .*silence"),
    ("storage: a write or sync fails", r"^fail "),
    ("storage: the disk is full", r"^full "),
    ("storage: names (create, delete) torn", r"^power off .*\| \w+ disk (create|delete|sync directory)"),
    ("storage: a journal is rewritten, begun and torn", _disk("producer", "write", r"j\.new(?!.* opens)")),
    ("storage: a journal is rewritten, and renamed", _disk("producer", "rename", r"j(?!.* opens)")),
    ("recovery: producer dies while it opens its store", _while(OPENS.format("(producer|device)"), DIES)),
    ("recovery: broker dies while it opens its store", _while(OPENS.format("broker"), DIES)),
    ("recovery: consumer dies while it opens its store", _while(OPENS.format("consumer"), DIES)),
    ("recovery: a write or sync fails, the disk is full", _while(OPENS.format(r"\w+"), "(fail|full) ")),
    ("recovery: what is written is torn", _while(OPENS.format(r"\w+"), r"power off .*\| \w+ disk (write|sync)")),
    ("link: stall, shorter than keep alive", "^stall .*briefly"),
    ("link: stall, longer than keep alive", "^stall .*long"),
    ("link: cut between CONNECT and CONNACK", _packet("CONNACK", "broker", r"\w+", "before")),
    ("link: a half-open connection is taken over", _then("a half-open connection is taken over")),
    ("link: another cut while messages are sent again", _while(r"\w+ sends again", "cut ")),
    ("broker: PUBREL for an identifier that is gone", _then("the identifier of a PUBREL is gone")),
    ("concurrency: publish before CONNACK", _then("a message is published before CONNACK")),
    ("concurrency: publish during retransmission", _then("a message is published while others are sent again")),
    ("concurrency: many packets in one read", _then("many packets are read at once")),
    ("concurrency: producer has more than the window", _ever("producer has more than the window")),
    ("concurrency: broker has more than the window", _ever("broker has more than the window")),
    ("identifiers: none is left", _ever(r"\w+ has no identifier left")),
    ("identifiers: wrap past the last one, others in use", _ever(r"\w+ begins with the first identifier again")),
    ("identifiers: no store, the same session, the same payload", _then("without a store, the same payload")),
    ("identifiers: no store, the same session, another payload", _then("without a store, another payload")),
    ("session lost by the broker only", "^lose broker"),
    ("session lost by the producer only", "^lose (producer|device)"),
    ("session lost by the consumer only", "^lose consumer"),
    ("line: DATA to the gateway", _frame("DATA", "device", "gateway")),
    ("line: DATA to the device", _frame("DATA", "gateway", "device")),
    ("line: the link begins", _frame("(SYN|SYN_ACK)", r"\w+", r"\w+")),
    ("line: an adapter is pulled out", "^unplug "),
    ("line: the wires are off", "^part "),
    ("line: bytes damaged or lost", "^(damage|shorten|swallow) "),
    ("gateway: dies with a frame or packet just arrived", _after("gateway", "arrive")),
    ("gateway: dies with a frame or packet just written", _after("gateway", "(DATA|ACK|SYN_ACK|[A-Z]+)")),
    ("gateway: packet to the broker", _packet("[A-Z]+", "gateway", "broker")),
    ("gateway: packet from the broker", _packet("[A-Z]+", "broker", "gateway")),
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
