"""`mqttlite doctor`: examines this machine as a gateway, or a board, from its port to a message that survives a cut.

board     the steps of a board                    machine     those of this machine
showing   what a step has found, in a line or as JSON
"""

import argparse

from . import board, machine

_DESCRIPTION = """\
Examines this machine as a gateway, and says for each thing what it has found, and what to do:

  version   what is installed, and which build    clock     whether it is right, and stays right
  gateway   the one that runs, its upstreams      disk      room, and how long a sync takes
  settings  mistakes, and secrets                 wear      what is written, and years of the card
  ports     who may open them, and who has them   brokers   whether they are reached

  mqttlite doctor
  sudo mqttlite doctor                            sees more: the settings, other users' programs
  mqttlite doctor --json --only disk --only wear

With a board (--board, --port), it examines that, step by step:

  port      the port is there, and yours              files     the files are there, and whole
  chip      the chip answers (esptool)                settings  the settings are valid
  prompt    MicroPython answers                       wifi      the Wi-Fi is in reach
  version   it is new enough, and for this chip       broker    the broker is reached
  loop      the UART loops back (asks for a wire)     link      the link comes up
  flash     partitions as the board file says         message   a message is confirmed both ways
  heap      there is memory                           power     a message survives a power cut (asks)

  mqttlite doctor --board esp32-devkitc --port /dev/ttyUSB0
  mqttlite doctor --board esp32-devkitc --port /dev/ttyUSB0 --only loop --joined
  mqttlite doctor --board esp32-devkitc --port /dev/ttyUSB0 --json

It changes nothing on the board; it stops the board's program and starts it again. For a board on the USB cable it is
the gateway meanwhile, so end another one first. With --port alone the USB identifiers say which board it is, where they
can; with --board alone it is the one on the only port.
"""

_EPILOG = "exit codes: 0 nothing is wrong; 1 something is; 130 Ctrl-C"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser(
        "doctor",
        help="examine this machine as a gateway, or a board",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", default=[], metavar="STEP", help="this step, and what it needs")
    parser.add_argument("--json", action="store_true", help="an object a line for each finding; asks nothing")
    machine.add_options(parser.add_argument_group("this machine"))
    board.add_options(parser.add_argument_group("a board"))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Examine; the exit code. ValueError, OSError: what cannot be asked for."""
    return board.run(args) if board.is_asked_for(args) else machine.run(args)
