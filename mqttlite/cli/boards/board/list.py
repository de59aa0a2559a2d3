"""`mqttlite board list`: the kinds of boards that are known, and their pins."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ....boards.known.data import BoardData

_DESCRIPTION = """\
Show the kinds of boards that are known: name, chip, the UART and the pins of the link, the pin of the LED and the
button, pins that must be left alone. With a name, all that is known of one and the documents that it is from.

  mqttlite board list
  mqttlite board list esp32-devkitc
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to the parser of `mqttlite board`."""
    parser = subparsers.add_parser(
        "list",
        help="kinds of boards and their pins",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("board", metavar="BOARD", nargs="?", help="one of them")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; its exit code. ValueError: there is no such board."""
    from ....boards.known import data

    known = {args.board: data.get(args.board)} if args.board else data.boards()
    width = max(map(len, known))
    for name, board in known.items():
        print(f"{name:{width}}  {board.name}")
        for line in _lines(board):
            print(f"{'':{width}}  {line}")
    if args.board:
        _show_all(known[args.board])
    return 0


def _lines(board: "BoardData") -> list[str]:
    link = board.link
    lines = [f"chip {board.chip}, image {board.micropython}"]
    lines.append(f"link: UART {link.uart}, tx {link.tx}, rx {link.rx}, {link.baud} baud")
    if board.led:
        lines.append(f"LED: pin {board.led.pin} ({board.led.kind})")
    if board.button:
        where = "no pin" if board.button.pin is None else f"pin {board.button.pin}"
        lines.append(f"button {board.button.label}: {where}")
    return lines


def _show_all(board: "BoardData") -> None:
    print(f"\npins on the header: {', '.join(map(str, board.pins.header))}")
    for avoid in board.pins.avoid:
        print(f"leave alone {', '.join(map(str, avoid.pins))}: {avoid.why}")
    for uart in board.uart:
        print(f"UART {uart.id}: {uart.use}")
    if board.usb_serial:
        print(f"USB: {board.usb_serial.chip}, {board.usb_serial.vid:04X}:{board.usb_serial.pid:04X}")
    if board.usb_native:
        where = "a socket of its own" if board.usb_native.socket else "on the header"
        print(f"USB of the chip: {board.usb_native.kind}, {where}")
    print(f"power: {board.power}")
    for name in ("by_lines", "on_open", "by_hand"):
        print(f"reset, {name.replace('_', ' ')}: {getattr(board.reset, name)}")
    for note in board.notes:
        print(f"note: {note}")
    for source in board.sources:
        print(f"from {source}")
