"""`mqttlite rr`: a request and its answers. What it does: requester.py."""

import argparse

from ...core.text import check_plain, check_topic_filter, to_utf8
from .. import EXIT_CODES
from . import loading
from .connecting import add_connection_options, add_session_options, client_options, session_options, url_of
from .properties import add_property_option, help_text, properties_of
from .pub import add_payload_options, check_timeout, topic_of
from .sub import FORMATS, add_output_options

_EXAMPLES = """\
examples:
  mqttlite rr -t clock/ask -m now -W 5                 a request in MQTT 5.0, and the first answer within 5 seconds
  mqttlite rr -t clock/ask -m now -C 0 -W 2 -v         all answers that come within two seconds, with their topic
  mqttlite rr -V 3.1.1 -t clock/ask -e clock/answers -m now -W 5
                                                       in 3.1.1, where both sides have to know the answers' topic

"""

_DESCRIPTION = """\
Publish a request and print the answers. The options are those of mosquitto_rr, and some more.

In MQTT 5.0 the request carries a response topic and correlation data, and an answer with other correlation data is not
one to this request. In 3.1.1 whatever comes on the topic of the answers (-e) is an answer. An answer that says it is an
error, as those of a program that serves with mqttlite do, goes to standard error, and the exit code is 1.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `rr` with its options."""
    parser = subparsers.add_parser(
        "rr",
        description=_DESCRIPTION,
        usage="mqttlite rr [-h HOST] [-p PORT] -t TOPIC [-e TOPIC] (-m TEXT | -s | -n | -f FILE) [option ...]",
        epilog=FORMATS + help_text("connect", "publish", "subscribe", "will", "disconnect") + _EXAMPLES + EXIT_CODES,
    )
    parser.add_argument("-t", "--topic", action="append", default=[], help="topic name of the request")
    parser.add_argument(
        "-e", "--response-topic", metavar="TOPIC", help="topic of the answers; must be given in 3.1.1 (one of its own)"
    )
    add_payload_options(parser, lines=False)
    parser.add_argument(
        "-C", dest="count", type=int, default=1, metavar="N", help="end after N answers (1); 0: all until -W"
    )
    parser.add_argument(
        "-W",
        dest="timeout_s",
        type=float,
        metavar="S",
        help="wait for S seconds at most; exit code 27 when fewer answers have come than -C says, or none",
    )
    parser.add_argument("-R", dest="no_retained", action="store_true", help="a retained message is no answer")
    add_output_options(parser)
    add_property_option(parser, "connect, publish, subscribe, will or disconnect")
    add_connection_options(parser)
    add_session_options(parser)
    parser.set_defaults(run=run, protocol_version="5.0", stdin_line=False)


def run(args: argparse.Namespace) -> int:
    """Ask what `args` says; the exit code."""
    url, in_url = url_of(args)
    args.topic = topic_of(args, in_url, "rr")
    args.properties = properties_of(args)
    options = session_options(args, client_options(args, url))
    if args.response_topic is None:
        args.response_topic = args.properties["publish"].get("response_topic")
    if args.response_topic is None and args.protocol_version != "5.0":
        raise ValueError("in MQTT 3.1.1 a request does not say where answers go: give their topic with -e")
    if args.response_topic is not None:
        answers = to_utf8(args.response_topic, "response topic")
        check_topic_filter(answers)
        check_plain(answers)
        if args.protocol_version == "5.0" and any(sign in args.response_topic for sign in "+#"):
            raise ValueError("-e is a topic name without wildcards: it is told to whoever answers [MQTT-3.3.2-14]")
    if args.count < 0 or (args.count == 0 and args.timeout_s is None):
        raise ValueError("-C takes a count of at least 1, or 0 with -W")
    check_timeout(args)
    with loading(url):
        from .requester import request  # asyncio and the client: not for --help, or a mistake in the command line

    return request(args, options)
