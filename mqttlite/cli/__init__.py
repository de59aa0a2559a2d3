"""The command `mqttlite`: broker, ctl, top, passwd, device, discover, pub, sub, rr, gateway, console, board, flash,
update, doctor, bench, store, verify, explain, simulate, demo.

A command is a module of a folder here (ROOMS) with `add_parser(subparsers)`, which sets `run` (Namespace -> exit code)
as a default of its parser. Only the module of the command that was asked for is imported, and what it does only when it
is done: `mqttlite pub` must start fast on a small machine and work where the parts that other commands need are not
installed.

demo/       boards, noisy lines, a gateway and a broker, to look at
gateway/    `gateway`                               control/    brokers that run: ctl, top, device, discover
broker/     `broker`, `passwd`                      boards/     board, flash, update, console, explain
serving/    what programs have that run for months  examining/  doctor, bench, store, verify, simulate
messages/   pub, sub, rr                            showing/    tables, progress, the terminal
variant     which build runs
running     the event loop, SIGTERM, logs
arguments   command lines, on top of argparse
streams     standard input, output and error as they are found

Imports: downwards in this list (tools/check_house.py looks).

Errors are one line on stderr. Exit codes are those of mosquitto_pub and mosquitto_sub: see EXIT_CODES.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..core.errors import ConnectError, MQTTError, RefusedError
from . import streams
from .arguments import CommandLine

if TYPE_CHECKING:
    from argparse import Namespace

COMMANDS = {
    "broker": "an MQTT broker",
    "passwd": "users and passwords of the broker",
    "ctl": "look after a broker that runs",
    "top": "a broker that runs, live",
    "pub": "publish messages, as mosquitto_pub does",
    "sub": "subscribe and print messages, as mosquitto_sub does",
    "rr": "publish a request and print the answers, as mosquitto_rr does",
    "device": "add devices to a broker",
    "discover": "look for brokers in the network",
    "gateway": "carry devices on serial lines to a broker",
    "console": "what a board prints, and its prompt",
    "board": "boards: settings, setting one up",
    "flash": "from a bare board to its first message",
    "update": "replace what boards run, over MQTT",
    "doctor": "examine this machine as a gateway, or a board",
    "bench": "measure a broker, a serial line or a board",
    "store": "show what a store holds",
    "verify": "compare two ends: what is missing, what came twice",
    "explain": "say what a board's numbers mean",
    "simulate": "faults in a simulated world, as charts",
    "demo": "boards, noisy lines, a gateway and a broker, to look at",
}

ROOMS = {  # commands by the folder in which each is a module; others are folders of this package themselves
    "broker": ("broker", "passwd"),
    "control": ("ctl", "top", "device", "discover"),
    "messages": ("pub", "sub", "rr"),
    "gateway": ("gateway",),
    "boards": ("console", "board", "flash", "update", "explain"),
    "examining": ("doctor", "bench", "store", "verify", "simulate"),
}
HOMES = {command: f"{room}.{command}" for room, commands in ROOMS.items() for command in commands}

EXIT_CODES = """\
exit codes: 0 done; 1 error; 1 to 5 the broker refused the connection with this return code of MQTT 3.1.1 (1 protocol
version, 2 client identifier, 3 not available, 4 user name or password, 5 not authorised), from 128 on with this reason
code of 5.0 (132 protocol version, 133 client identifier, 134 user name or password, 135 not authorised); 27 timed out
(-W); 130 Ctrl-C; 141 whoever read the output has gone; 143 SIGTERM (sub: 0). An error is one line on stderr, which says
what to do; --quiet leaves it out"""

EXAMPLES = """\
examples:
  mqttlite broker                                 an MQTT broker for programs on this machine
  mqttlite sub -t 'room/#' -v                     then, in another terminal: print what is published below room/
  mqttlite pub -t room/1 -m 21.5 -q 1             and in a third one: publish a message
  mqttlite pub --help                             everything that a command can do

"""

INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
TIMED_OUT = 27  # as mosquitto_sub's
CHOICE = 2  # several are meant, and they are listed
OUTPUT_GONE = 141  # 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. `argv`: the arguments without the program's name."""
    streams.open_closed_ones()
    streams.be_quiet(False)
    words = list(sys.argv[1:] if argv is None else argv)
    name = f"mqttlite {words[0]}" if words and words[0] in COMMANDS else "mqttlite"
    try:
        args = _parsed(words)
        if isinstance(args, int):
            code = args
        else:
            name = f"{name} {getattr(args, 'subcommand', None) or ''}".rstrip()
            streams.be_quiet(getattr(args, "quiet", False))
            code = args.run(args)
        streams.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        streams.give_up_output()
        return OUTPUT_GONE
    except (MQTTError, OSError, ValueError) as error:
        text = streams.why(error)
        if isinstance(error, ConnectError) and name.split()[-1] in ("pub", "sub", "rr", "bench"):
            from .messages.connecting import in_options

            text = in_options(text)
        streams.say(f"{name}: {text}")
        if isinstance(error, streams.Choice):
            for line in error.lines:
                streams.say(f"  {line}")
            return CHOICE
        if isinstance(error, OSError):
            streams.give_up_output()  # a full disk, perhaps
        return error.code if isinstance(error, RefusedError) else 1


def _parsed(words: list[str]) -> "Namespace | int":
    """What the words ask for; or the exit code where that is said already."""
    try:
        if not words:
            _parser().print_help()
            return 0
        if words[0] not in COMMANDS:
            parser = _parser()
            parser.parse_args(words)
            parser.error("the command comes first")
        return parser_of(words[0]).parse_args(words[1:])
    except SystemExit as end:  # --help, --version, wrong usage: argparse has said what there is to say
        return end.code if isinstance(end.code, int) else 1


def _parser() -> CommandLine:
    """The parser for a command line without a command; of the commands it knows only the names."""
    from .variant import BUILD

    parser = CommandLine(
        prog="mqttlite", description="MQTT from a microcontroller to a server.", epilog=EXAMPLES + EXIT_CODES
    )
    parser.add_argument("--version", action="version", version=f"mqttlite {__version__} ({BUILD})")
    subparsers = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for name, help_text in COMMANDS.items():
        subparsers.add_parser(name, help=help_text)
    return parser


def parser_of(command: str) -> CommandLine:
    """The parser of one command: argparse would make those of all, which takes longer than everything else."""
    only = _Only()
    importlib.import_module(f"{__name__}.{HOMES.get(command, command)}").add_parser(only)
    return only.parser


class _Only:
    """In the place of argparse's subparsers, for the one command that was asked for."""

    parser: CommandLine

    def add_parser(self, name: str, help: str = "", **options: Any) -> CommandLine:
        """As argparse's."""
        self.parser = CommandLine(prog=f"mqttlite {name}", **options)
        return self.parser
