"""`mqttlite sub`: subscribe and print messages as they come. What it does: subscriber.py."""

import argparse

from ..core.text import check_plain, check_topic_filter, to_utf8
from . import EXIT_CODES
from .arguments import add_common_options, client_options
from .lean import loading


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `sub` with its options."""
    parser = subparsers.add_parser(
        "sub",
        description="Print messages. The options are those of mosquitto_sub.",
        usage="mqttlite sub [-h HOST] [-p PORT] -t FILTER [-t FILTER ...] [option ...]",
        epilog=EXIT_CODES
        + "\n\nformat (-F): %t topic, %p payload, %x %X payload in hexadecimal, %l its length, %q QoS,\n"
        "%r retain, %j %J JSON (payload quoted, as it is), %I ISO 8601 time, %U Unix time, @Y @H ... strftime, @N ns,\n"
        "\\n \\t \\0 \\e; as in printf: %-20t %05l %.8x",
    )
    parser.add_argument("-t", "--topic", action="append", default=[], metavar="FILTER", help="topic filter; repeatable")
    parser.add_argument("-T", "--filter-out", action="append", default=[], metavar="FILTER", help="do not print these")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("-R", dest="no_retained", action="store_true", help="do not print retained (stale) messages")
    what.add_argument(
        "--retained-only", action="store_true", help="print retained messages, end at the first other one"
    )
    parser.add_argument("-C", dest="count", type=int, metavar="N", help="end after printing N messages")
    parser.add_argument("-W", dest="timeout_s", type=float, metavar="S", help="end after S seconds, with exit code 27")
    parser.add_argument("-E", dest="only_subscribe", action="store_true", help="end when the broker has granted all")
    parser.add_argument("-v", "--verbose", action="store_true", help="print topic and payload")
    parser.add_argument("-F", dest="format", metavar="FORMAT", help="print in this format, see below")
    parser.add_argument(
        "--raw",
        action="store_true",
        help="topics and payloads as they came, also to a terminal, for which control characters are escaped otherwise",
    )
    parser.add_argument("-N", dest="no_newline", action="store_true", help="no newline after a message")
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Subscribe to what `args` says and print; the exit code."""
    options = client_options(args)  # before anything else: it adds the URL's topic
    if not args.topic:
        raise ValueError("give a topic filter: -t FILTER")
    for topic_filter in args.topic + args.filter_out:
        check_topic_filter(to_utf8(topic_filter, "topic filter"))
    for topic_filter in args.topic:
        check_plain(topic_filter.encode())
    if args.count is not None and args.count < 1:
        raise ValueError("-C takes a count of at least 1")
    if args.timeout_s is not None and not args.timeout_s > 0:
        raise ValueError("-W takes a number of seconds above 0")
    with loading():
        from .subscriber import subscribe  # asyncio and the client: not for --help, or a mistake in the command line

    return subscribe(args, options)
