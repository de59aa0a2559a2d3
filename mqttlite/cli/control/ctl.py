"""`mqttlite ctl`: look at a broker that runs, and after it, over its control socket."""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from typing import Any

from ..showing.columns import size, span, table
from ..streams import one_line
from .chosen import add_options, path_of
from .client import reach

_DESCRIPTION = """\
Looks at a broker that runs, and after it, over its control socket: that of the one broker that runs here. Where several
run, they are listed (exit code 2), and --socket or --config says which.

  mqttlite ctl status                      numbers, what is held, which limits have bitten
  mqttlite ctl clients                     who is connected
  mqttlite ctl sessions                    sessions that outlive their connection
  mqttlite ctl show kitchen                all about one client: its connection, filters, queue, drops
  mqttlite ctl disconnect kitchen          end its connection; its session stays
  mqttlite ctl take-over kitchen ann       its session is ann's from now on: who is connected with it is not any more
  mqttlite ctl remove kitchen              end its session, with all that is queued for it
  mqttlite ctl queue kitchen               what is queued for it
  mqttlite ctl drop kitchen 17             drop one of these messages; --all: all of them
  mqttlite ctl retry kitchen 17            queue one again, behind all others
  mqttlite ctl retained 'room/#'           retained messages
  mqttlite ctl clear 'room/#'              remove retained messages
  mqttlite ctl queues                      queues and streams by name, with what is dead in them
  mqttlite ctl retry-dead orders           try again what is dead in a queue
  mqttlite ctl drop-dead orders            delete what is dead in a queue
  mqttlite ctl delete queue orders         end a queue or a stream, with all that is in it
  mqttlite ctl upstreams                   of a gateway: how its upstreams are, and what waits for them
  mqttlite ctl aside cloud                 what upstream cloud has refused, with the reason
  mqttlite ctl retry-aside cloud 3         try one of these messages again; --all: all of them
  mqttlite ctl drop-aside cloud 3          delete one of them; --all: all of them
  mqttlite ctl reload                      read the files again, as SIGHUP does
  mqttlite ctl backup /media/broker.db     copy the store, while the broker runs
  mqttlite ctl --json status               the same for programs

What changes something is a line in the broker's log, with who has asked for it. A client identifier that begins with a
dash stands behind --: mqttlite ctl show -- -x"""

_WORDS = {None: "-", True: "yes", False: "no"}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser("ctl", help="look after a broker that runs", description=_DESCRIPTION)
    add_options(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    actions = parser.add_subparsers(title="actions", dest="subcommand", metavar="ACTION", required=True)

    def action(name: str, text: str, *arguments: str) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        add_options(added, default=argparse.SUPPRESS)
        added.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")
        for argument in arguments:
            added.add_argument(argument, metavar=argument.upper())
        added.set_defaults(run=run)
        return added

    action("status", "numbers, what is held, which limits have bitten")
    action("clients", "who is connected")
    action("sessions", "sessions that outlive their connection")
    action("show", "all about one client", "client")
    action("disconnect", "end a client's connection; its session stays", "client")
    action("take-over", "a session belongs to another user from now on; its connection is closed", "client", "user")
    action("remove", "end a client's session, with all that is queued for it", "client")
    queue = action("queue", "what is queued for a client", "client")
    queue.add_argument("--most", type=int, metavar="N", help="so many messages at most (1000)")
    drop = action("drop", "drop a message that is queued for a client", "client")
    drop.add_argument("seq", metavar="NUMBER", nargs="?", type=int, help="of the message, as `queue` says")
    drop.add_argument("--all", action="store_true", help="all that it has not taken")
    retry = action("retry", "queue a message again, behind all others for this client", "client")
    retry.add_argument("seq", metavar="NUMBER", type=int, help="of the message, as `queue` says")
    retained = action("retained", "list retained messages")
    retained.add_argument("filter", metavar="FILTER", nargs="?", help="topic filter (#)")
    retained.add_argument("--most", type=int, metavar="N", help="so many at most (1000)")
    action("clear", "remove the retained messages that a topic filter matches", "filter")
    action("queues", "queues and streams by name, with what is dead in them")
    action("retry-dead", "try again what is dead in a queue", "name")
    action("drop-dead", "delete what is dead in a queue", "name")
    delete = action("delete", "end a queue or a stream, with all that is in it")
    delete.add_argument("kind", choices=("queue", "stream"))
    delete.add_argument("name", metavar="NAME")
    action("upstreams", "of a gateway: how its upstreams are, and what waits for them")
    action("aside", "what an upstream of a gateway has refused, with the reason", "name")
    for name, text in (("retry-aside", "try again what an upstream has refused"), ("drop-aside", "delete it")):
        aside = action(name, text, "name")
        aside.add_argument("seq", metavar="NUMBER", nargs="?", type=int, help="of the message, as `aside` says")
        aside.add_argument("--all", action="store_true", help="all of them")
    action("reload", "read the broker's files again, as SIGHUP does")
    action("backup", "copy the store to a new file, while the broker runs", "to")


def run(args: argparse.Namespace) -> int:
    """Ask, and print the answer; the exit code. ValueError and OSError say why there is none."""
    names = ("kind", "name", "client", "user", "seq", "filter", "to", "most")
    arguments = {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}
    if getattr(args, "all", False):
        arguments["all"] = True
    elif args.subcommand == "drop" and "seq" not in arguments:
        raise ValueError("say which message, by the number that `mqttlite ctl queue` gives, or --all")
    if "to" in arguments:
        arguments["to"] = os.path.abspath(arguments["to"])
    with reach(path_of(args)) as broker:
        found = broker.ask(args.subcommand, **arguments)
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        show: Callable[[Any], str] = _SHOWN.get(args.subcommand, _plain)
        print(show(found))
    return 0


def _plain(found: Any) -> str:
    return one_line(str(found))


def _status(found: dict[str, Any]) -> str:
    lag = found["loop_lag_ms"]
    lines = [
        f"mqttlite {found['version']}, for {span(found['uptime_s'])}, {', '.join(found['addresses'])}",
        f"trouble       {found['trouble'] or 'none'}",
        f"store         {found['store'] or 'none: sessions live in memory'}",
        f"connections   {found['connections']}, of these {found['half_open']} without CONNECT and "
        f"{found['publishers_held_back']} held back",
        f"clients       {found['clients_connected']} connected, {found['clients_disconnected']} away; "
        f"{found['sessions_persistent']} sessions outlive their connection",
        f"subscriptions {found['subscriptions']}, shared {found['shared_subscriptions']}",
        f"messages      {found['received']} received, {found['sent']} sent, {found['dropped']} dropped"
        + _list(found["dropped_by_cause"]),
        f"queued        {found['queued']}, of these in doubt {found['in_doubt']}; not released {found['unreleased']}",
        f"retained      {found['retained']}",
        f"bytes         {size(found['bytes_received'])} received, {size(found['bytes_sent'])} sent",
        "held         " + "".join(f" {name} {size(each)}" for name, each in found["held_bytes"].items()),
        f"loop          at most {lag['most']} ms late, 99 % of the time {lag['99 %']} ms",
    ]
    if turn := found.get("turn_ms"):
        lines.append(f"turns         at most {turn['most']} ms long, with {turn['work']} ms of work")
    if sync := found.get("store_sync_ms"):
        lines.append(f"syncs         {sync['count']}, {sync['mean']} ms on average, {sync['most']} ms at most")
    lines.append("limits hit   " + (_list(found["limits"]) or " none"))
    return "\n".join(map(one_line, lines))


def _list(counts: dict[str, int]) -> str:
    found = [f"{name} {count}" for name, count in counts.items() if count]
    return f" ({', '.join(found)})" if found else ""


def _clients(found: list[dict[str, Any]]) -> str:
    rows = [
        (
            each["client"],
            each["address"] or "away",
            each["user"] or "-",
            each["version"] or "-",
            span(each["since_s"]),
            each["subscriptions"],
            each["queued"],
            each["in_doubt"],
            each["dropped"],
        )
        for each in found
    ]
    head = ("client", "address", "user", "MQTT", "since", "filters", "queued", "in doubt", "dropped")
    return table(head, rows) if rows else "none"


def _queue(found: list[dict[str, Any]]) -> str:
    rows = [
        (each["seq"], each["state"], each["qos"], each["bytes"], _expiry(each), each["topic"], each["payload"])
        for each in found
    ]
    head = ("number", "state", "QoS", "bytes", "expires in", "topic", "payload")
    return table(head, rows) if rows else "none"


def _expiry(message: dict[str, Any]) -> str:
    return "-" if message["expires_s"] is None else span(message["expires_s"])


def _retained(found: list[dict[str, Any]]) -> str:
    rows = [(each["qos"], each["bytes"], each["topic"], each["payload"]) for each in found]
    return table(("QoS", "bytes", "topic", "payload"), rows) if rows else "none"


def _show(found: dict[str, Any]) -> str:
    lines = []
    for name, value in found.items():
        shown: Sequence[Any]
        if name == "filters":
            shown = [f"{each['filter']} (QoS {each['qos']})" for each in value]
        elif isinstance(value, dict):
            shown = [f"{cause} {count}" for cause, count in value.items()]
        else:
            shown = [_WORDS[value] if value is None or isinstance(value, bool) else value]
        lines.append(f"{name:20}{', '.join(map(str, shown)) or '-'}")
    return "\n".join(map(one_line, lines))


def _queues(found: list[dict[str, Any]]) -> str:
    rows = [
        (
            each["kind"],
            each["name"],
            each["filter"],
            each["messages"],
            size(each["bytes"]),
            each.get("dead", "-"),
            each.get("consumers", each.get("readers")),
        )
        for each in found
    ]
    head = ("kind", "name", "filter", "messages", "size", "dead", "consumers")
    return table(head, rows) if rows else "none"


def _upstreams(found: list[dict[str, Any]]) -> str:
    rows = [
        (
            each["name"],
            each["kind"],
            "connected" if each["connected"] else "away",
            each["queued"],
            size(each["queued_bytes"]),
            span(each["oldest_s"]) if each["queued"] else "-",
            sum(each["in_doubt"].values()),
            each["drained_a_second"],
            each["set_aside"],
            each["problem"] or "-",
        )
        for each in found
    ]
    head = ("name", "kind", "state", "queued", "size", "oldest", "in doubt", "a second", "set aside", "problem")
    return table(head, rows) if rows else "none"


def _aside(found: list[dict[str, Any]]) -> str:
    rows = [
        (each["id"], each.get("way", "out"), each["qos"], each["bytes"], each["topic"], each["cause"]) for each in found
    ]
    return table(("number", "way", "QoS", "bytes", "topic", "cause"), rows) if rows else "none"


_SHOWN: dict[str, Callable[[Any], str]] = {
    "status": _status,
    "clients": _clients,
    "sessions": _clients,
    "queue": _queue,
    "retained": _retained,
    "queues": _queues,
    "show": _show,
    "upstreams": _upstreams,
    "aside": _aside,
}
