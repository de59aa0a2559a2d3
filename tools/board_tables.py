"""Tables in the docs that are made of the files in hardware/, between two marks:

<!-- made by tools/board_tables.py: NAME -->
<!-- end -->

python -m tools.board_tables            writes those that are stale
python -m tools.board_tables --check    says which are; exit code 1 where one is
"""

import argparse
import csv
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mqttlite.boards.known import data, partitions
from mqttlite.boards.known.data import BoardData
from tools.places import ROOT

PAGES = ("hardware/README.md", "docs/board.md", "docs/hardware-measurements.md")
MEASUREMENTS = ROOT / "hardware" / "measurements"
_MARKS = re.compile(r"(<!-- made by tools/board_tables\.py: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(head: list[str], rows: list[list[str]]) -> str:
    """In Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return (
        "".join("| " + " | ".join(cells) + " |\n" for cells in lines).replace("| --- ", "|---").replace("--- |", "---|")
    )


def _led(board: BoardData) -> str:
    if board.led is None:
        return "–"
    return f"`{board.led.pin}`" + (" (addressable)" if board.led.kind != "plain" else "")


def _usb(board: BoardData) -> str:
    parts = [board.usb_serial.chip] if board.usb_serial else []
    if board.usb_native:
        parts.append("the chip's own" if board.usb_native.socket else "the chip's own, on the header")
    return "; ".join(parts)


def boards() -> str:
    """Which boards there are."""
    rows = []
    for stem, board in data.boards().items():
        flash = f"{board.flash.bytes >> 20} MiB"
        native = _usb(board)
        rows.append([f"[{board.name}](boards/{stem}.toml)", board.chip, native, _led(board), flash])
    return table(["board", "chip", "USB", "LED", "flash"], rows)


def pins() -> str:
    """What to wire for a line to the gateway, and the setting for it."""
    rows = []
    for board in data.boards().values():
        link = board.link
        flow = f"GPIO{link.rts}, GPIO{link.cts}"
        rows.append([board.name, f"GPIO{link.tx}", f"GPIO{link.rx}", flow, f"`{link.url}`"])
    return table(["board", "TX", "RX", "RTS, CTS (optional)", "`url`"], rows)


def avoided() -> str:
    """Pins that are better left alone."""
    rows = []
    for board in data.boards().values():
        for avoid in board.pins.avoid:
            rows.append([board.name, ", ".join(map(str, avoid.pins)), avoid.why])
        if not board.pins.avoid:
            rows.append([board.name, "none", "what is on the edges is free"])
    return table(["board", "GPIO", "why"], rows)


def images() -> str:
    """Which image of MicroPython, and where it goes."""
    rows = []
    for stem, board in data.boards().items():
        name = f"[`{board.micropython}`]({board.download})"
        how = f"`{board.flash.firmware_offset:#x}`" if board.flash.image == "bin" else "copied as a .uf2 file"
        vfs = next(part for part in board.flash.partition if part.name == "vfs")
        rows.append([board.name, f"`{stem}`", name, how, f"{vfs.bytes >> 10:,} KiB at `{vfs.offset:#x}`"])
    return table(["board", "`--board`", "image", "written to", "its file system"], rows)


def layouts() -> str:
    """Our partition tables."""
    rows = []
    for name, layout in partitions.layouts(ROOT / "hardware" / "partitions").items():
        slots = f"{layout.slots} of" if layout.slots else "1 of"
        sizes = [
            f"{layout[part].bytes >> 10:,} KiB at `{layout[part].offset:#x}`" for part in ("romfs", "mqttlite", "vfs")
        ]
        rows.append([f"[`{name}`](partitions/{name})", f"{slots} {layout.app_bytes >> 10:,} KiB", *sizes])
    return table(["table", "applications", "`romfs`", "`mqttlite`, the ring", "`vfs`, littlefs"], rows)


def resets() -> str:
    """How each is reset."""
    rows = []
    for board in data.boards().values():
        rows.append([board.name, board.reset.by_lines, board.reset.on_open, board.reset.by_hand])
    return table(["board", "DTR and RTS", "opening the port", "by hand"], rows)


def parts() -> str:
    """The bill of materials."""
    with (ROOT / "hardware" / "bom.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = list(csv.reader(file))
    return table(head, rows)


def _results(folder: Path, figure: str) -> list[dict[str, Any]]:
    """What was measured on real boards and has this figure."""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return [result for result in results if result["is_hardware"] and figure in result]


def measurements(folder: Path = MEASUREMENTS) -> str:
    """What was measured on real boards, a row a result; a board without one says so."""
    results = _results(folder, "up_0")
    rows = []
    for stem, board in data.boards().items():
        own = [result for result in results if result["board"] == stem]
        rows += [_measured(board, result) for result in own] or [[board.name, "not measured", *["–"] * 9]]
    ways = [f"{way} {qos}" for way in ("up", "down") for qos in (0, 1, 2)]
    return table(["board", "what", *ways, "round trip 1, 2", "heap free", "reset to online"], rows)


def wakes(folder: Path = MEASUREMENTS) -> str:
    """What a waking costs, on real boards."""
    results = _results(folder, "wake")
    rows = []
    for stem, board in data.boards().items():
        own = [each for each in results if each["board"] == stem]
        for each in own:
            wake = each["wake"]
            what = f"{each['date']}, {each['runtime']}, {each['wakings']} wake-ups"
            cells = [str(wake.get(key, "–")) for key in ("trips", "network_ms", "connected_ms", "last_ms")]
            rows.append([board.name, what, *cells, str(each["wake_bytes"])])
        if not own:
            rows.append([board.name, "not measured", *["–"] * 5])
    return table(["board", "what", "round trips", "network, ms", "connected, ms", "all of it, ms", "bytes"], rows)


def _measured(board: BoardData, result: dict[str, Any]) -> list[str]:
    figures = [result[f"{way}_{qos}"] for way in ("up", "down") for qos in (0, 1, 2)]
    cells = [f"{each['bytes_per_s']:,} B/s, {each['per_s']:g}/s" for each in figures]
    times = f"{result['round_trip_1_ms']:g}, {result['round_trip_2_ms']:g} ms"
    online = result.get("reset_to_online_s")
    what = f"{result['date']}, {result['runtime']}, `{result['url']}`, {result['size']} bytes"
    return [board.name, what, *cells, times, f"{result['free']:,}", "–" if online is None else f"{online:g} s"]


TABLES: dict[str, Callable[[], str]] = {
    "boards": boards,
    "pins": pins,
    "avoided": avoided,
    "images": images,
    "layouts": layouts,
    "measurements": measurements,
    "parts": parts,
    "resets": resets,
    "wakes": wakes,
}


def made(text: str) -> str:
    """A page with its tables as they are now. ValueError: a mark names none of them."""

    def one(match: "re.Match[str]") -> str:
        if match[2] not in TABLES:
            raise ValueError(f"there is no table '{match[2]}'; there are {', '.join(TABLES)}")
        return f"{match[1]}\n{TABLES[match[2]]()}\n{match[3]}"

    return _MARKS.sub(one, text)


def stale(root: Path = ROOT) -> list[str]:
    """The pages whose tables are not what the board files say."""
    return [page for page in PAGES if (text := (root / page).read_text(encoding="utf-8")) != made(text)]


def main() -> int:
    """Run the program; its exit code."""
    parser = argparse.ArgumentParser(description="Tables of the docs, made of the board files.")
    parser.add_argument("--check", action="store_true", help="say which are stale, and write nothing")
    args = parser.parse_args()
    found = stale()
    for page in found:
        print(f"{page}: {'stale: python -m tools.board_tables' if args.check else 'written'}")
        if not args.check:
            path = ROOT / page
            path.write_text(made(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 1 if found and args.check else 0


if __name__ == "__main__":
    sys.exit(main())
