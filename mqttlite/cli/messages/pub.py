"""`mqttlite pub`: publish one message, or a message for each line of standard input. What it does: publisher.py."""

import argparse

from ...core.text import check_plain, check_topic_name, to_utf8
from .. import EXIT_CODES
from . import loading
from .connecting import add_connection_options, add_session_options, client_options, session_options, url_of
from .properties import add_property_option, help_text, properties_of

_EXAMPLES = """\
examples:
  mqttlite pub -t room/1 -m 21.5                       one message to the broker on this machine
  mqttlite pub -t room/1 -m 21.5 -q 1 -r               confirmed by the broker, and kept for later subscribers
  seq 100 | mqttlite pub -t count -l -q 2 --rate 50    a message for each line, 50 a second
  mqttlite pub -t room/1 -m 21.5 -V 5.0 -D publish message-expiry-interval 60 -D publish user-property unit Celsius
                                                       of no use to anybody after a minute, and with a property
  mqttlite pub -t room/1 -n -r -q 1                    ends the retained message
  seq 100 | mqttlite pub -t count -l -q 1 -i meter --store meter.db -W 60
                                                       what a kill leaves behind is sent by the next run

"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `pub` with its options."""
    parser = subparsers.add_parser(
        "pub",
        description="Publish messages. The options are those of mosquitto_pub, and some more.",
        usage="mqttlite pub [-h HOST] [-p PORT] -t TOPIC (-m TEXT | -l | -s | -n | -f FILE) [option ...]",
        epilog=help_text("connect", "publish", "will", "disconnect") + _EXAMPLES + EXIT_CODES,
    )
    parser.add_argument("-t", "--topic", action="append", default=[], help="topic name to publish to")
    add_payload_options(parser)
    parser.add_argument("-r", "--retain", action="store_true", help="the broker keeps it for later subscribers")
    parser.add_argument("--repeat", type=int, metavar="N", help="publish the message N times")
    parser.add_argument("--repeat-delay", type=float, metavar="S", help="seconds from delivery to the next repeat")
    parser.add_argument("--rate", type=float, metavar="N", help="with -l or --repeat, N messages a second at most")
    parser.add_argument(
        "-W", dest="timeout_s", type=float, metavar="S", help="end after S seconds at most, with exit code 27"
    )
    add_property_option(parser, "connect, publish, will or disconnect")
    add_connection_options(parser)
    add_session_options(parser)
    parser.set_defaults(run=run)


def add_payload_options(parser: argparse.ArgumentParser, *, lines: bool = True) -> None:
    """Where the payload comes from; `lines`: perhaps one from each line."""
    source = parser.add_argument_group("payload").add_mutually_exclusive_group(required=True)
    source.add_argument("-m", "--message", metavar="TEXT", help="this text")
    if lines:
        source.add_argument("-l", "--stdin-line", action="store_true", help="each line of standard input is a message")
    source.add_argument("-s", "--stdin-file", action="store_true", help="all of standard input is one message")
    source.add_argument(
        "-n",
        "--null-message",
        action="store_true",
        help="an empty payload" + ("; with -r ends a retained message" if lines else ""),
    )
    source.add_argument("-f", "--file", help="the content of a file; a large one is read and sent in pieces")


def topic_of(args: argparse.Namespace, in_url: str, command: str) -> str:
    """The one topic name that was given; `in_url`: the one at the end of the URL. ValueError for anything else."""
    topics = [*args.topic, *([in_url] if in_url else [])]
    if len(topics) != 1:
        raise ValueError("give one topic: -t TOPIC" if not topics else f"{command} takes one topic")
    topic = to_utf8(topics[0], "topic name")
    check_topic_name(topic)
    check_plain(topic)
    return str(topics[0])


def check_timeout(args: argparse.Namespace) -> None:
    """Raise ValueError unless -W is possible."""
    if args.timeout_s is not None and not 0 < args.timeout_s < 10**9:
        raise ValueError("-W takes a number of seconds above 0")


def run(args: argparse.Namespace) -> int:
    """Publish what `args` says; the exit code."""
    url, in_url = url_of(args)
    args.topic = topic_of(args, in_url, "pub")
    args.properties = properties_of(args)
    options = session_options(args, client_options(args, url))
    if args.repeat is not None and (args.stdin_line or args.repeat < 1):
        raise ValueError("--repeat takes a count of at least 1 and does not go with -l")
    if args.repeat_delay is not None and not (args.repeat and 0 <= args.repeat_delay < 10**9):
        raise ValueError("--repeat-delay takes seconds and needs --repeat")
    if args.rate is not None and not ((args.repeat or args.stdin_line) and 0 < args.rate < 10**9):
        raise ValueError("--rate takes a number of messages a second and needs -l or --repeat")
    check_timeout(args)
    with loading(url):
        from .publisher import publish  # asyncio and the client: not for --help, or a mistake in the command line

    return publish(args, options)
