"""`mqttlite board list`: the kinds of boards that are known, and their pins."""

import argparse
from typing import Any

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


def boards() -> dict[str, dict[str, Any]]:
    """What is known of each kind of board, by name. ValueError: a file of them cannot be read."""
    from ...boards.files import board_files
    from ...client.toml_file import read_toml

    return {path.stem: read_toml(path) for path in sorted(board_files().glob("*.toml"))}


def run(args: argparse.Namespace) -> int:
    """Run the command; its exit code. ValueError: there is no such board."""
    known = boards()
    if args.board:
        if args.board not in known:
            raise ValueError(f"there is no board '{args.board}'; there are {', '.join(known)}")
        known = {args.board: known[args.board]}
    width = max(map(len, known))
    for name, board in known.items():
        print(f"{name:{width}}  {board['name']}")
        for line in _lines(board):
            print(f"{'':{width}}  {line}")
    if args.board:
        _show_all(known[args.board])
    return 0


def _lines(board: dict[str, Any]) -> list[str]:
    link = board["link"]
    lines = [f"chip {board['chip']}, image {board['micropython']}"]
    lines.append(f"link: UART {link['uart']}, tx {link['tx']}, rx {link['rx']}, {link['baud']} baud")
    if "led" in board:
        lines.append(f"LED: pin {board['led']['pin']} ({board['led'].get('kind', 'plain')})")
    if "button" in board:
        lines.append(f"button {board['button']['label']}: pin {board['button']['pin']}")
    return lines


def _show_all(board: dict[str, Any]) -> None:
    print(f"\npins on the header: {', '.join(map(str, board['pins']['header']))}")
    for pins in board["pins"].get("avoid", []):
        print(f"leave alone {', '.join(map(str, pins['pins']))}: {pins['why']}")
    for uart in board.get("uart", []):
        print(f"UART {uart['id']}: {uart['use']}")
    for name, text in board.get("reset", {}).items():
        print(f"reset, {name.replace('_', ' ')}: {text}")
    for note in board.get("notes", []):
        print(f"note: {note}")
    for source in board.get("sources", []):
        print(f"from {source}")
