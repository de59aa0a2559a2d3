"""`mqttlite pub`: publish one message, or a message for each line of standard input. What it does: publisher.py."""

import argparse

from ..core.text import check_plain, check_topic_name, to_utf8
from . import EXIT_CODES
from .arguments import add_common_options, client_options
from .lean import loading


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `pub` with its options."""
    parser = subparsers.add_parser(
        "pub",
        description="Publish messages. The options are those of mosquitto_pub.",
        usage="mqttlite pub [-h HOST] [-p PORT] -t TOPIC (-m TEXT | -l | -s | -n | -f FILE) [option ...]",
        epilog=EXIT_CODES,
    )
    parser.add_argument("-t", "--topic", action="append", default=[], help="topic name to publish to")
    source = parser.add_argument_group("payload").add_mutually_exclusive_group(required=True)
    source.add_argument("-m", "--message", metavar="TEXT", help="this text")
    source.add_argument("-l", "--stdin-line", action="store_true", help="each line of standard input is a message")
    source.add_argument("-s", "--stdin-file", action="store_true", help="all of standard input is one message")
    source.add_argument(
        "-n", "--null-message", action="store_true", help="an empty payload; with -r ends a retained message"
    )
    source.add_argument("-f", "--file", help="the content of a file")
    parser.add_argument("-r", "--retain", action="store_true", help="the broker keeps it for later subscribers")
    parser.add_argument("--repeat", type=int, metavar="N", help="publish the message N times")
    parser.add_argument("--repeat-delay", type=float, metavar="S", help="seconds from delivery to the next repeat")
    add_common_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Publish what `args` says; the exit code."""
    options = client_options(args)  # before anything else: it adds the URL's topic
    if len(args.topic) != 1:
        raise ValueError("give one topic: -t TOPIC" if not args.topic else "pub takes one topic")
    topic = to_utf8(args.topic[0], "topic name")
    check_topic_name(topic)
    check_plain(topic)
    if args.repeat is not None and (args.stdin_line or args.repeat < 1):
        raise ValueError("--repeat takes a count of at least 1 and does not go with -l")
    if args.repeat_delay is not None and not (args.repeat and 0 <= args.repeat_delay < 10**9):
        raise ValueError("--repeat-delay takes seconds and needs --repeat")
    with loading():
        from .publisher import publish  # asyncio and the client: not for --help, or a mistake in the command line

    return publish(args, options)
