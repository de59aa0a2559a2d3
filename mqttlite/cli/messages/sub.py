"""`mqttlite sub`: subscribe and print messages as they come. What it does: subscriber.py."""

import argparse

from ...core.text import check_plain, check_topic_filter, to_utf8
from .. import EXIT_CODES
from . import loading
from .connecting import add_connection_options, add_session_options, client_options, session_options, url_of
from .properties import add_property_option, help_text, properties_of
from .pub import check_timeout

_EXAMPLES = """\
examples:
  mqttlite sub -t 'room/#' -v                          what is published below room/, with topics
  mqttlite sub -t 'room/+' -F '@H:@M:@S %-20t %p'      a format of one's own, see above
  mqttlite sub -t '#' -C 1 -W 5 -F %j                  the first message as JSON, within 5 seconds
  mqttlite sub -t 'room/#' --remove-retained --retained-only -W 2
                                                       ends all retained messages below room/, and prints them
  mqttlite sub -t 'room/#' -V 5.0 -x 3600 -i wall -c -q 1 -C 1 -F '%p %E %P'
                                                       a session kept for an hour; properties of MQTT 5.0
  mqttlite sub -t 'sales/#' -q 2 -i till --store till.db -C 10
                                                       the next ten messages, of which a restart loses none

"""
RETAIN_HANDLING = ("always", "new", "never")  # 0, 1 and 2 in SUBSCRIBE
FORMATS = """\
format (-F): %t topic, %p payload, %x %X payload in hexadecimal, %l its length, %q QoS, %r retain, %m packet identifier,
%j %J JSON (payload quoted, as it is), %I ISO 8601 time, %U Unix time, @Y @H ... strftime, @N ns, \\n \\t \\0 \\e;
of MQTT 5.0: %C content type, %D correlation data, %E message expiry interval, %F payload format indicator,
%P user properties (name:value), %R response topic, %S subscription identifiers; as in printf: %-20t %05l %.8x

"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `sub` with its options."""
    parser = subparsers.add_parser(
        "sub",
        description="Subscribe and print messages. The options are those of mosquitto_sub, and some more.",
        usage="mqttlite sub [-h HOST] [-p PORT] -t FILTER [-t FILTER ...] [option ...]",
        epilog=FORMATS
        + help_text("connect", "subscribe", "unsubscribe", "will", "disconnect")
        + _EXAMPLES
        + EXIT_CODES,
    )
    parser.add_argument("-t", "--topic", action="append", default=[], metavar="FILTER", help="topic filter; repeatable")
    parser.add_argument("-T", "--filter-out", action="append", default=[], metavar="FILTER", help="do not print these")
    parser.add_argument(
        "-U", "--unsubscribe", action="append", default=[], metavar="FILTER", help="first end this subscription"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("-R", dest="no_retained", action="store_true", help="do not print retained (stale) messages")
    what.add_argument(
        "--retained-only", action="store_true", help="print retained messages, end at the first other one"
    )
    parser.add_argument("-C", dest="count", type=int, metavar="N", help="end after printing N messages")
    parser.add_argument("-W", dest="timeout_s", type=float, metavar="S", help="end after S seconds, with exit code 27")
    parser.add_argument("-E", dest="only_subscribe", action="store_true", help="end when the broker has granted all")
    parser.add_argument(
        "--remove-retained", action="store_true", help="end the retained messages that come, but those of -T"
    )
    add_output_options(parser)
    five = parser.add_argument_group("subscription, in MQTT 5.0")
    five.add_argument("--no-local", action="store_true", help="not what this client publishes itself")
    five.add_argument("--retain-as-published", action="store_true", help="retain as the publisher set it")
    five.add_argument(
        "--retain-handling",
        choices=RETAIN_HANDLING,
        help="whether retained messages come when it is made: always, only if it is new, or never",
    )
    add_property_option(parser, "connect, subscribe, unsubscribe, will or disconnect")
    add_connection_options(parser)
    add_session_options(parser)
    parser.set_defaults(run=run)


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """How messages are printed."""
    parser.add_argument("-v", "--verbose", action="store_true", help="print topic and payload")
    parser.add_argument("-F", dest="format", metavar="FORMAT", help="print in this format, see below")
    parser.add_argument(
        "--raw",
        action="store_true",
        help="topics and payloads as they came, also to a terminal, for which control characters are escaped otherwise",
    )
    parser.add_argument("-N", dest="no_newline", action="store_true", help="no newline after a message")


def subscription_options(args: argparse.Namespace) -> dict[str, object]:
    """The arguments of `subscribe` that only MQTT 5.0 has, beside its properties."""
    found: dict[str, object] = {}
    if args.no_local:
        found["no_local"] = True
    if args.retain_as_published:
        found["retain_as_published"] = True
    if args.retain_handling is not None:
        found["retain_handling"] = RETAIN_HANDLING.index(args.retain_handling)
    if found and args.protocol_version != "5.0":
        raise ValueError(f"--{next(iter(found)).replace('_', '-')} needs MQTT 5.0: add -V 5.0")
    return found


def run(args: argparse.Namespace) -> int:
    """Subscribe to what `args` says and print; the exit code."""
    url, in_url = url_of(args)
    args.topic = [*args.topic, *([in_url] if in_url else [])]
    args.properties = properties_of(args)
    args.properties["subscribe"] |= subscription_options(args)
    options = session_options(args, client_options(args, url))
    if not args.topic and not args.unsubscribe:
        raise ValueError("give a topic filter: -t FILTER")
    for topic_filter in args.topic + args.filter_out + args.unsubscribe:
        check_topic_filter(to_utf8(topic_filter, "topic filter"))
    for topic_filter in args.topic + args.unsubscribe:
        check_plain(topic_filter.encode())
        if topic_filter.startswith("$share/"):
            from ...core.subscription_options import check_share

            check_share(topic_filter)
    if args.count is not None and args.count < 1:
        raise ValueError("-C takes a count of at least 1")
    check_timeout(args)
    with loading(url):
        from .subscriber import subscribe  # asyncio and the client: not for --help, or a mistake in the command line

    return subscribe(args, options)
