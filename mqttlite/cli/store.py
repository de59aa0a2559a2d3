"""`mqttlite store`: look at what a store holds."""

import argparse
import json
from typing import Any

from ..core.codec import topic_of
from ..core.session import SPAN
from ..store.records import State

_DESCRIPTION = """\
Shows what the store of a client holds (SQLite, store="state.db"). Reads only; works while the client runs.

  accepted   not finished: will be sent (again) until the broker has confirmed it
  released   QoS 2, the broker has it: what is left is to say so to each other
  in doubt   QoS 2, the broker had it and has lost the session: the application decides

  mqttlite store show state.db
  mqttlite store show --json state.db
"""

SHOWN = 32  # bytes of a payload


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser("store", help="show what a store holds", description=_DESCRIPTION)
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="list what a store holds", description=_DESCRIPTION)
    show.add_argument("path", metavar="FILE", help="the store, such as state.db")
    show.add_argument("--json", action="store_true", help="one JSON object; payloads whole, in hexadecimal digits")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show the store. StoreError: there is none, or it cannot be read."""
    from ..store.sqlite import read

    state = read(args.path)
    print(json.dumps(as_json(state), indent=2) if args.json else as_text(args.path, state))
    return 0


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
        beginning = repr(payload[:SHOWN])[1:] + ("…" if len(payload) > SHOWN else "")
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
    in_doubt = seq in state.doubts
    head, payload, key = state.doubts[seq] if in_doubt else state.messages[seq]
    bits = head[0] & 6
    return {
        "seq": seq,
        "packet_id": seq % SPAN + 1,
        "qos": 1 if bits == 2 else 2,
        "retain": bool(head[0] & 1),
        "state": "in doubt" if in_doubt else "released" if bits == 6 else "accepted",
        "topic": _text(topic_of(head)),
        "payload": payload.hex(),
        "key": key.hex(),
    }


def _text(data: bytes) -> str:
    return data.decode(errors="backslashreplace")


def _quoted(text: str) -> str:
    """As it is, but for what a terminal would take for a command."""
    return text if text.isprintable() else ascii(text)[1:-1]
