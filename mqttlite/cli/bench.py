"""`mqttlite bench`: measures a board."""

import argparse
import json
import time
from pathlib import Path

_DESCRIPTION = """\
Measures a board that has been flashed: bytes and messages a second each way at QoS 0, 1 and 2, round trips, free heap.
Its program is stopped meanwhile, a small one runs in its place, and a reset ends that. A broker has to run, and no
gateway on that port: this command is it.

  mqttlite bench --device /dev/ttyUSB0 --board esp32-devkitc
  mqttlite bench --device /dev/ttyUSB0 --board esp32-devkitc -o hardware/measurements/esp32-devkitc.json
  mqttlite bench --device /dev/ttyUSB0 --board esp32-devkitc --wakes 20 --wait 1500

A result on anything but a real board is marked as that, and does not go into docs/hardware-measurements.md.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser(
        "bench",
        help="measure a board",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", required=True, metavar="PATH", help="serial port of the board")
    parser.add_argument("--board", required=True, metavar="KIND", help="kind of board: `mqttlite board list`")
    parser.add_argument(
        "--broker", default="mqtt://localhost:1883", metavar="URL", help="the broker (mqtt://localhost:1883)"
    )
    parser.add_argument("--size", type=int, default=64, help="bytes of a message (64)")
    parser.add_argument("--count", type=int, default=200, help="messages for each way and QoS (200)")
    parser.add_argument("--wait", type=float, default=120.0, metavar="S", help="for all of it (120)")
    parser.add_argument(
        "--wakes", type=int, metavar="N", help="instead: what N wake-ups of a board with `sleep_s` cost, as it says"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the result there, as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; its exit code. ValueError: what cannot be measured, and why."""
    import sys

    from ..boards import data
    from ..boards.bench import Bench, BenchError, measure, wakings
    from ..boards.report import Report

    if args.size < 1 or args.count < 1:
        raise ValueError("--size and --count must be 1 or more")
    bench = Bench(args.device, data.get(args.board), args.broker, size=args.size, count=args.count, within_s=args.wait)
    try:
        report = Report(stream=sys.stderr)
        result = wakings(bench, args.wakes, report) if args.wakes else measure(bench, report)
    except BenchError as error:
        raise ValueError(str(error)) from None
    text = json.dumps({"date": time.strftime("%Y-%m-%d"), **result}, indent=1) + "\n"
    if args.output:
        args.output.write_text(text, encoding="utf-8")
    print(text, end="")
    if not result["is_hardware"]:
        print(f"not hardware: {result['machine']}", file=sys.stderr)
    return 0
