"""`mqttlite console`: what a board prints, and its prompt, also while a gateway has its port."""

import argparse
import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..running import run_until_done

if TYPE_CHECKING:
    from mqttlite_gateway.lines.console_socket import Attached
    from mqttlite_gateway.lines.direct import Direct

    from ..showing.terminal import Terminal

_DESCRIPTION = """\
Shows what a board prints, and sends it what you type.

Ctrl-]  leaves. The board goes on.
Ctrl-C  ends the board's program, which leads to MicroPython's prompt: also in the two seconds after a reset, before the
        program starts. Other keys have no meaning for a running program.
Ctrl-D  at the prompt starts the board again, with its program.

Where a gateway has the port, this goes through it, and MQTT goes on; there may be several consoles. Where none has it,
this opens the port, without resetting the board, and until it leaves the board finds no broker. A board on a serial
line of its own (serial://2?…) has its prompt on another port, which any terminal program shows.

  mqttlite console --list
  mqttlite console /dev/ttyUSB0
"""

_STATES = {
    "no port": "the port is not there",
    "silent": "no program of mqttlite speaks",
    "prompt": "MicroPython's prompt",
    "program": "the program runs",
    "free": "no gateway has it",
}
_SILENT_S = 3.0  # a soft reset and the window at the start take that long


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser(
        "console",
        help="what a board prints, and its prompt",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("port", nargs="?", metavar="PORT", help="the board's port (default: the only one there is)")
    parser.add_argument("--list", action="store_true", help="show the ports of this machine and their boards, and end")
    parser.add_argument(
        "--baud", type=int, default=115200, metavar="N", help="without a gateway (default: %(default)s)"
    )
    parser.add_argument(
        "--socket",
        type=Path,
        metavar="PATH",
        help="of the gateway, where its settings name one (default: any there is)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show the console until Ctrl-], SIGTERM, or the end of the gateway."""
    logging.getLogger("mqttlite").addHandler(logging.NullHandler())
    logging.getLogger("mqttlite").propagate = False  # the console says itself what there is to say
    return run_until_done(lambda: _list(args) if args.list else _console(args))


async def _gateways(args: argparse.Namespace) -> tuple[list[tuple[Path, dict[str, str]]], str]:
    """The lines of all gateways, each with its socket; and why there may be more."""
    from mqttlite_gateway.lines.console_socket import folders, listed

    paths = [args.socket] if args.socket else [path for folder in folders() for path in sorted(folder.glob("console*"))]
    found: list[tuple[Path, dict[str, str]]] = []
    hidden = ""
    for folder in folders():
        with suppress(PermissionError, FileNotFoundError):
            next(folder.iterdir(), None)
            continue
        if folder.exists() and not args.socket:
            hidden = f"the gateways of {folder} are another user's: sudo mqttlite console shows them"
    for path in paths:
        try:
            found += [(path, line) for line in await listed(path)]
        except PermissionError:
            hidden = f"the gateway of {path} is another user's: sudo mqttlite console shows it"
    return found, hidden


async def _list(args: argparse.Namespace) -> int:
    from ...serial.ports import ports_there

    gateways, hidden = await _gateways(args)
    lines = [line for _, line in gateways]
    free = [port for port in ports_there() if not any(_same(port, line["port"]) for line in lines)]
    lines += [{"port": port, "device": "", "state": "free"} for port in free]
    for line in lines:
        name = f"  device '{line['device']}'" if line["device"] else ""
        print(f"{line['port']}{name}  {line['state']}: {_STATES.get(line['state'], '')}")
    if not lines:
        print("no serial port on this machine")
    if hidden:
        print(hidden)
    return 0


def _same(port: str, other: str) -> bool:
    return os.path.realpath(port) == os.path.realpath(other)


async def _console(args: argparse.Namespace) -> int:
    from ..showing.terminal import Terminal

    session, where = await _session(args)
    terminal = Terminal()
    terminal.note(f"{where}; Ctrl-] leaves, Ctrl-C ends the program, Ctrl-D at the prompt starts it")
    with terminal.raw():
        try:
            return await _talk(session, terminal)
        finally:
            session.close()
            terminal.note("left")


async def _session(args: argparse.Namespace) -> "tuple[Attached | Direct, str]":
    """Through the gateway that has the port, else with the port itself; and words for that."""
    from mqttlite_gateway.config import SerialPort
    from mqttlite_gateway.lines.console_socket import attached
    from mqttlite_gateway.lines.direct import Direct

    from ...serial.ports import ports_there

    gateways, hidden = await _gateways(args)
    port = args.port
    if port is None:
        there = [line["port"] for _, line in gateways] or ports_there()
        if len(there) != 1:
            raise ValueError(f"which port? There is {', '.join(there) or 'none'}" + (f"; {hidden}" if hidden else ""))
        port = there[0]
    for path, line in gateways:
        if _same(line["port"], port):
            return await attached(path, line["port"]), f"{port}, through the gateway"
    if args.socket:
        raise ValueError(f"no gateway at {args.socket} has {port}")
    direct = Direct(SerialPort(port, args.baud))
    await direct.open()
    return direct, f"{port}, without a gateway"


async def _talk(session: "Attached | Direct", terminal: "Terminal") -> int:
    before = ""
    silence: asyncio.TimerHandle | None = None

    def becomes(state: str) -> None:
        """Silence is said when it lasts; a prompt that comes while somebody looks on speaks for itself."""
        nonlocal before, silence
        if silence:
            silence.cancel()
        if state == "silent":
            silence = asyncio.get_running_loop().call_later(_SILENT_S, terminal.note, _STATES[state])
        elif state != "prompt" or not before:
            terminal.note(_STATES.get(state, state))
        before = state

    serving = asyncio.create_task(session.serve(terminal.show, becomes))
    typing = asyncio.create_task(terminal.keys(session.type))
    try:
        await asyncio.wait([serving, typing], return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
            terminal.note("the gateway has ended")
            return 1
        typing.result()
        return 0
    finally:
        if silence:
            silence.cancel()
        serving.cancel()
        typing.cancel()
        await asyncio.gather(serving, typing, return_exceptions=True)
