"""`mqttlite store`: look at what a store holds, copy it, and take out of a damaged one what is whole."""

import argparse
import json
import os
from typing import TYPE_CHECKING, Any

from ...core.codec import topic_of
from ...core.records import State
from ...core.session import SPAN
from ..streams import say

if TYPE_CHECKING:
    from ...store.tables.broker_tables import BrokerState
    from ...store.tables.queue_tables import Collector

_DESCRIPTION = """\
Looks at stores and copies them: a client's and a broker's (SQLite), and journals.

  mqttlite store show state.db                what it holds
  mqttlite store count *.db                   how many messages are not delivered yet
  mqttlite store drop state.db 17             forget message 17, which is refused or in doubt
  mqttlite store retry state.db 17            have it sent again
  mqttlite store backup broker.db copy.db     a copy that is whole, while the broker runs
  mqttlite store salvage broker.db            take out of a damaged one what is whole
  mqttlite store reset broker.db              move it aside: the next start begins with an empty one"""

_SHOW = """\
Shows what a store holds: that of a client (SQLite, store="state.db", or a journal) or of a broker. Reads only; works
while the client or the broker runs.

  accepted   not finished: will be sent (again) until the broker has confirmed it
  released   QoS 2, the broker has it: what is left is to say so to each other
  in doubt   QoS 2, the broker had it and has lost the session: the application decides
  refused    set aside: the broker ended each connection right after it, or has said that it is too large. See drop
             and retry

Of a broker's, messages are counted, and what a gateway has set aside for an upstream is listed, with the cause.

  mqttlite store show state.db
  mqttlite store show --json state.db"""

_COUNT = """\
Prints how many messages stores hold that have not reached those they are for; reads only, works while the client or the
broker runs, and a queue that is larger than the memory is no trouble. A database of another program counts 0. Of a
folder, all that end in .db count, and those that were moved aside (gateway.db.before-20261130T181500).

  mqttlite store count /var/lib/mqttlite/gateway.db
  mqttlite store count /var/lib/mqttlite"""

_DROP = """\
Forgets a message that is refused or in doubt, by the number that `show` gives. Stop the client first, or have it call
client.settle(17).

  mqttlite store drop state.db 17"""

_RETRY = """\
Has a message that is refused or in doubt sent again, as a new message, when the client runs again. Stop the client
first, or have it call client.retry(17).

  mqttlite store retry state.db 17"""

_BACKUP = """\
Copies a store, while its client or broker runs, too: what was confirmed before is in the copy, and the copy is checked.
(A copy of the file alone, without its -wal, lacks what was written last.) To restore it, stop the client or broker, put
the copy in the place of the store, remove -wal and -shm beside it, and start again. What has changed since the copy is
as before: messages may come, and be sent, again.

  mqttlite store backup broker.db /media/backup/broker.db"""

_SALVAGE = """\
Takes out of a damaged store what is whole, and says what is lost. The damaged file is kept. Without --to, the new store
takes its place, and the damaged one is moved aside. Stop the client or broker first.

  mqttlite store salvage broker.db
  mqttlite store salvage --to new.db state.db
  mqttlite store salvage board.journal        that of a board, copied from it"""

_RESET = """\
Moves a store aside (FILE.reset- and the time), so that the next start begins with an empty one: what was accepted and
not delivered is not delivered, unless you put it back. Stop the client or broker first.

  mqttlite store reset broker.db"""

SHOWN = 32  # bytes of a payload
ASIDE_MAX = 100  # messages of a queue that are shown one by one


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser("store", help="look at stores, copy and salvage them", description=_DESCRIPTION)
    actions = parser.add_subparsers(title="actions", dest="subcommand", metavar="ACTION", required=True)

    def action(name: str, run: Any, help_text: str, description: str) -> argparse.ArgumentParser:
        found = actions.add_parser(name, help=help_text, description=description)
        found.add_argument("path", metavar="FILE", help="the store, such as state.db")
        found.set_defaults(run=run)
        return found

    show = action("show", run_show, "list what a store holds", _SHOW)
    show.add_argument("--json", action="store_true", help="one JSON object; payloads whole, in hexadecimal digits")
    count = actions.add_parser("count", help="how many messages are not delivered yet", description=_COUNT)
    count.add_argument(
        "path", metavar="FILE", nargs="+", help="a store, or a folder of some; one that is not there counts 0"
    )
    count.set_defaults(run=run_count)
    for name, run, help_text, description in (
        ("drop", run_drop, "forget a message that is refused or in doubt", _DROP),
        ("retry", run_retry, "have a message that is refused or in doubt sent again", _RETRY),
    ):
        one = action(name, run, help_text, description)
        one.add_argument("seq", metavar="NUMBER", type=int, help="of the message, as `show` lists it")
    backup = action("backup", run_backup, "copy a store while it is in use", _BACKUP)
    backup.add_argument("to", metavar="TO", help="the new file, or a folder")
    salvage = action("salvage", run_salvage, "take out of a damaged store what is whole", _SALVAGE)
    salvage.add_argument("--to", metavar="NEW", help="the new store (it takes the place of the damaged one)")
    action("reset", run_reset, "move a store aside", _RESET)


def run_show(args: argparse.Namespace) -> int:
    """Show the store. StoreError: there is none, or it cannot be read."""
    from ...store.in_sqlite import sqlite_reading
    from ...store.tending import kinds

    kind = kinds.kind_of(args.path)
    problem = ""
    state: Any = None
    if kind == kinds.JOURNAL:
        reading = kinds.Reading(args.path)
        state, problem = reading.state, reading.problem
    elif kind != kinds.EMPTY:
        state = sqlite_reading.read(args.path, kinds.tables_of(kind))
        problem = sqlite_reading.missing(args.path)
    if kind == kinds.BROKER and state:
        print(json.dumps(broker_as_json(state), indent=2) if args.json else broker_as_text(state))
    else:
        state = state or State()
        print(json.dumps(as_json(state), indent=2) if args.json else as_text(args.path, state))
    if problem:
        say(f"mqttlite store: {_quoted(args.path)} is not whole: {problem}")
    return 0


def run_count(args: argparse.Namespace) -> int:
    """Count. StoreError: one of them cannot be read."""
    from ...store.tending import counting

    there: list[str] = []
    for path in filter(os.path.exists, args.path):
        there += counting.stores_in(path) if os.path.isdir(path) else [path]
    print(sum(counting.undelivered(path) for path in there if counting.is_store(path)))
    return 0


def run_drop(args: argparse.Namespace) -> int:
    """Forget a message."""
    from ...store.tending.decide import drop

    drop(args.path, args.seq)
    print(f"{_quoted(args.path)}: message {args.seq} is forgotten")
    return 0


def run_retry(args: argparse.Namespace) -> int:
    """Have a message sent again."""
    from ...store.tending.decide import retry

    number = retry(args.path, args.seq)
    print(f"{_quoted(args.path)}: message {args.seq} will be sent again, as message {number}")
    return 0


def run_backup(args: argparse.Namespace) -> int:
    """Copy the store."""
    from ...store.tending.backup import backup

    size = backup(args.path, args.to)
    print(f"{_quoted(args.path)}: {size} bytes copied, and checked")
    return 0


def run_salvage(args: argparse.Namespace) -> int:
    """Take out what is whole."""
    from ...store.tending import kinds
    from ...store.tending.salvage import salvage

    kind = kinds.kind_of(args.path)
    lines = salvage(args.path, args.to)
    print("\n".join(lines))
    print(_counted(args.to or args.path, kind))
    return 0


def run_reset(args: argparse.Namespace) -> int:
    """Move the store aside."""
    from ...store.tending.backup import reset

    print(f"{_quoted(args.path)} is now {_quoted(reset(args.path))}; the next start begins with an empty store")
    return 0


def _counted(path: str, kind: str) -> str:
    """What there is, in a line."""
    from ...store.in_sqlite import sqlite_reading
    from ...store.tending import kinds

    if kind == kinds.BROKER:
        broker: BrokerState = sqlite_reading.read(path, kinds.tables_of(kind))
        queued = sum(len(state.messages) for _, state in broker.sessions.values())
        return f"whole: {len(broker.sessions)} sessions, {queued} messages queued, {len(broker.retained)} retained"
    state = kinds.Reading(path).state if kind == kinds.JOURNAL else sqlite_reading.read(path, kinds.tables_of(kind))
    return f"whole: {len(state.messages) + len(state.doubts)} messages, {len(state.subscriptions)} subscriptions"


def broker_as_json(broker: "BrokerState") -> dict[str, Any]:
    """What a broker holds."""
    sessions = []
    for _, state in sorted(broker.sessions.values(), key=lambda found: found[1].client_id):
        shown = as_json(state)
        sessions.append({name: shown[name] for name in ("client_id", "next", "messages", "received", "subscriptions")})
    retained = [
        {"topic": _text(topic), "qos": qos, "payload": payload.hex()} for topic, payload, qos, _ in broker.retained
    ]
    queues = [_queue(each) for _, each in sorted(broker.queues.collectors.items())]
    return {"sessions": sessions, "retained": retained, "queues": queues, "delayed": len(broker.queues.delayed)}


def _queue(collector: "Collector") -> dict[str, Any]:
    from ...broker.messages.extras import properties_of
    from ...broker.topics.names import ASIDE_CAUSE
    from ...core.properties import user_property

    messages = [
        {
            "number": number,
            "qos": head[0] >> 1 & 3,
            "topic": _text(topic_of(head)),
            "payload": payload.hex(),
            "cause": _text((extra and user_property(properties_of(extra), ASIDE_CAUSE)) or b""),
        }
        for number, (_, _, head, payload, extra) in sorted(collector.messages.items())
    ]
    kind = ("queue", "stream")[collector.kind]
    return {"kind": kind, "name": _text(collector.name), "filter": _text(collector.filter), "messages": messages}


def broker_as_text(broker: "BrokerState") -> str:
    """The same to read; messages are only counted."""
    shown = broker_as_json(broker)
    lines = [f"broker, {len(shown['sessions'])} sessions"]
    if shown["sessions"]:
        lines.append(f"  {'queued':>8} {'bytes':>10} {'received':>8}  client and subscriptions")
    for session in shown["sessions"]:
        size = sum(len(message["payload"]) // 2 for message in session["messages"])
        filters = ", ".join(f"{_quoted(entry['filter'])} (QoS {entry['qos']})" for entry in session["subscriptions"])
        lines.append(
            f"  {len(session['messages']):>8} {size:>10} {len(session['received']):>8}"
            f"  {_quoted(session['client_id'])}: {filters or 'none'}"
        )
    for queue in shown["queues"]:
        messages = queue["messages"]
        lines.append(
            f"\n{queue['kind']} {_quoted(queue['name'])}: {len(messages)} messages, of {_quoted(queue['filter'])}"
        )
        aside = [message for message in messages if message["cause"]]
        for message in aside[:ASIDE_MAX]:
            beginning = _beginning(bytes.fromhex(message["payload"]))
            where = f"{message['number']:>8}  QoS {message['qos']}  {_quoted(message['topic'])} {beginning}"
            lines.append(f"  {where}  set aside: {_quoted(message['cause'])}")
        if len(aside) > ASIDE_MAX:
            lines.append(f"  and {len(aside) - ASIDE_MAX} more: --json has all of them")
    if shown["delayed"]:
        lines.append(f"\n{shown['delayed']} messages to be published later")
    lines.append(f"\n{len(shown['retained'])} retained messages")
    lines += [
        f"  QoS {entry['qos']}  {len(entry['payload']) // 2:>9}  {_quoted(entry['topic'])} "
        + _beginning(bytes.fromhex(entry["payload"]))
        for entry in shown["retained"]
    ]
    return "\n".join(lines)


def as_json(state: State) -> dict[str, Any]:
    """What a state holds. Of text that is not UTF-8, each wrong byte is shown as \\xNN."""
    return {
        "client_id": _text(state.client_id),
        "epoch": state.epoch,
        "next": state.next,
        "messages": [_message(state, seq) for seq in sorted((*state.messages, *state.doubts))],
        "received": sorted(state.held),
        "subscriptions": [
            {"filter": _text(topic_filter), "qos": qos & 3} for topic_filter, qos in sorted(state.subscriptions.items())
        ],
        "origins": {_text(producer): number for producer, number in sorted(state.origins.items())},
    }


def as_text(path: str, state: State) -> str:
    """The same to read."""
    if not state.client_id and state.next < 0:
        return f"{path}: an empty store"
    shown = as_json(state)
    following = "no message accepted yet" if state.next < 0 else f"next message {state.next}"
    lines = [f"client {_quoted(shown['client_id'])}, epoch {state.epoch}, {following}"]
    messages = shown["messages"]
    lines.append(f"\n{len(messages)} messages not finished")
    if messages:
        lines.append(f"  {'number':>12} {'id':>5}  QoS  {'state':8}  {'bytes':>9}  topic and payload")
    for message in messages:
        payload = bytes.fromhex(message["payload"])
        beginning = _beginning(payload)
        lines.append(
            f"  {message['seq']:>12} {message['packet_id']:>5}  {message['qos']:>3}  {message['state']:8}"
            f"  {len(payload):>9}  {_quoted(message['topic'])} {beginning}"
        )
    received = shown["received"]
    lines.append(f"\n{len(received)} identifiers of received QoS 2 messages, to recognise repeats")
    if received:
        lines.append("  " + " ".join(map(str, received)))
    lines.append(f"\n{len(shown['subscriptions'])} subscriptions")
    lines += [f"  QoS {entry['qos']}  {_quoted(entry['filter'])}" for entry in shown["subscriptions"]]
    if shown["origins"]:
        lines.append("\nhighest number published under a name")
        lines += [f"  {number:>12}  {_quoted(producer)}" for producer, number in shown["origins"].items()]
    return "\n".join(lines)


def _message(state: State, seq: int) -> dict[str, Any]:
    kept = seq in state.doubts
    head, payload, key = state.doubts[seq] if kept else state.messages[seq]
    bits = head[0] & 6
    return {
        "seq": seq,
        "packet_id": seq % SPAN + 1,
        "qos": 1 if bits == 2 else 2,
        "retain": bool(head[0] & 1),
        "state": (("refused", "in doubt") if kept else ("accepted", "released"))[bits == 6],
        "topic": _text(topic_of(head)),
        "payload": payload.hex(),
        "key": key.hex(),
    }


def _beginning(payload: bytes) -> str:
    return repr(payload[:SHOWN])[1:] + ("…" if len(payload) > SHOWN else "")


def _text(data: bytes) -> str:
    return data.decode(errors="backslashreplace")


def _quoted(text: str) -> str:
    """As it is, but for what a terminal would take for a command."""
    return text if text.isprintable() else ascii(text)[1:-1]
