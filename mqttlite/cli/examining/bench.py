"""`mqttlite bench`: measures a broker or a serial line (measure/), or a board (boards/examining/bench.py)."""

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from ...core.text import check_plain, check_topic_name, to_utf8
from ..messages import loading
from ..messages.connecting import add_connection_options, client_options
from ..streams import say

WINDOW = 18  # the client's own, which every broker handles without loss

_DESCRIPTION = """\
Measures what it is given, one of three:

a broker, any one, at the end of a URL: messages a second and how long they take, at each QoS, one at a time and with
several under way. Publishers and subscribers are in this program.

  mqttlite bench mqtt://localhost
  mqttlite bench mqtt://localhost -V 5.0 --qos 1 --size 1000 --seconds 5 -o plot.svg
  mqttlite bench mqtt://localhost --qos 0,1 --rate 200 --pairs 5 --json

a serial line: with a gateway at its other end, or with both ends on this machine, where --far names the other port. The
share of the line that payloads used is stated.

  mqttlite bench 'serial:///dev/ttyUSB0?baud=115200'
  mqttlite bench 'serial:///dev/ttyUSB0?baud=921600' --far '/dev/ttyUSB1?baud=921600'

a board that has been flashed: bytes and messages a second each way at QoS 0, 1 and 2, round trips, free heap. Its
program is stopped meanwhile, a small one runs in its place, and a reset ends that. A broker has to run (--broker), and
no gateway on that port: this command is it. A result on anything but a real board is marked as that, and does not go
into docs/hardware-measurements.md.

  mqttlite bench --device /dev/ttyUSB0 --board esp32-devkitc
  mqttlite bench --device /dev/ttyUSB0 --board esp32-devkitc -o hardware/measurements/esp32-devkitc.json
  mqttlite bench --device /dev/ttyUSB0 --board esp32-devkitc --wakes 20 --wait 1500

Ctrl-C ends it with what was measured until then (exit code 130), a second one at once.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser(
        "bench",
        help="measure a broker, a serial line or a board",
        usage="mqttlite bench (URL | --device PATH --board KIND) [option ...]",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "url",
        nargs="?",
        metavar="URL",
        help="of a broker or a serial line, as `mqttlite pub -L` has it, without a topic",
    )
    parser.add_argument("--size", type=int, default=64, metavar="BYTES", help="of a payload (64)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the result there: .svg a plot (not of "
                        "boards), anything else JSON")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table; of a board always")
    load = parser.add_argument_group("broker and serial line")
    load.add_argument("-q", "--qos", type=_levels, default=(0, 1, 2), metavar="QOS,…", help="which of them (0,1,2)")
    load.add_argument("--seconds", type=float, default=2.0, metavar="S", help="for each run (2)")
    load.add_argument("--warm-up", type=float, default=0.5, metavar="S", help="before each, not measured (0.5)")
    load.add_argument(
        "--window",
        type=int,
        metavar="N",
        help=f"only with N messages under way for each pair; 1: one at a time (1 and {WINDOW})",
    )
    load.add_argument(
        "--rate", type=float, metavar="N", help="instead, N messages a second from each publisher, whatever arrives"
    )
    load.add_argument(
        "-t", "--topic", default="mqttlite-bench", metavar="TOPIC", help="publish below it (mqttlite-bench)"
    )
    load.add_argument("--pairs", type=int, default=1, metavar="N", help="of a publisher and a subscriber (1)")
    load.add_argument("--far", metavar="PATH[?baud=…]", help="the port at the line's other end, on this machine: a "
                      "gateway and a broker run there")  # fmt: skip
    board = parser.add_argument_group("board")
    board.add_argument("--device", metavar="PATH", help="serial port of the board")
    board.add_argument("--board", metavar="KIND", help="kind of board: `mqttlite board list`")
    board.add_argument(
        "--broker", default="mqtt://localhost:1883", metavar="URL", help="the broker (mqtt://localhost:1883)"
    )
    board.add_argument("--count", type=int, default=200, metavar="N", help="messages for each way and QoS (200)")
    board.add_argument("--wait", type=float, default=120.0, metavar="S", help="for all of it (120)")
    board.add_argument(
        "--wakes", type=int, metavar="N", help="instead: what N wake-ups of a board with `sleep_s` cost, as it says"
    )
    add_connection_options(parser, url=False)
    parser.set_defaults(run=run)


def _levels(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(level) for level in text.split(","))
        if set(found) <= {0, 1, 2}:
            return found
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a list of 0, 1 and 2, as in 0,2")


def run(args: argparse.Namespace) -> int:
    """Run the command; its exit code. ValueError: what cannot be measured, and why."""
    if (args.url is None) == (args.device is None):
        raise ValueError("give either the URL of a broker or a serial line, or --device and --board for a board")
    if args.device is not None:
        return _board(args)
    if args.board is not None or args.wakes is not None:
        raise ValueError("--board and --wakes go with --device: they are for boards")
    return _broker(args)


def _broker(args: argparse.Namespace) -> int:
    is_serial = args.url.partition("://")[0] == "serial"
    _check(args, is_serial)
    options = client_options(args, args.url)
    with loading(args.url):
        import asyncio
        import logging

        from ...client import Client
        from ...client.arguments.checked_url import without_password
        from ..running import Retries, log_to_stderr
        from .measure import report
        from .measure.load import Load
        from .measure.measuring import Measuring

    retries = Retries("bench")
    log_to_stderr("mqttlite bench: %(message)s", logging.WARNING, retries)
    options["on_connection"] = retries.on_connection
    kinds: list[tuple[int | None, float | None]]
    kinds = [(None, args.rate)] if args.rate else [(w, None) for w in ((args.window,) if args.window else (1, WINDOW))]
    loads = [
        Load(qos, window, rate, args.size, args.pairs, args.seconds, args.warm_up)
        for qos in args.qos
        for window, rate in kinds
    ]
    where = without_password(args.url)
    options["window"] = max(args.window or 0, WINDOW)

    def tell(line: str) -> None:
        if not args.json:
            print(line, flush=True)

    Client(**options)  # what is wrong with them is said alone
    tell(report.introduction(where, args.protocol_version, loads[0]))
    measuring = Measuring(
        options,
        loads,
        lambda figures: tell(report.line(figures)),
        tell,
        args.topic,
        far=args.far,
        is_one_client=is_serial,
    )
    asyncio.run(measuring.run())
    found = measuring.found
    result = report.as_dict(where, args.protocol_version, loads[0], found, not measuring.is_stopped)
    result["broker"] = measuring.broker or None
    if is_serial:
        result["runs"] = [{**run, "of_line": _of_line(args.url, run["bytes_per_s"])} for run in result["runs"]]
        for run in result["runs"]:
            tell(f"QoS {run['qos']}, window {run['window']}: payloads took {run['of_line']:.0%} of the line each way")
    for remark in report.remarks(found):
        tell(remark)
    text = json.dumps(result, indent=1) + "\n"
    if args.json:
        print(text, end="")
    sys.stdout.flush()
    if args.output:
        if args.output.suffix == ".svg":
            from .measure.plot import svg

            text = svg(f"{where}, MQTT {args.protocol_version}, {args.size} bytes, {args.pairs} pair(s)", found)
        args.output.write_text(text, encoding="utf-8")
    if measuring.error is not None:
        say(f"mqttlite bench: ended early: {measuring.error}")
        return 1
    if measuring.signal:
        return 128 + measuring.signal
    return 0 if any(figures.arrived for figures in found) else 1


def _of_line(url: str, bytes_per_s: float) -> float:
    from ...client.url import Url

    return round(bytes_per_s * 10 / int(Url(url).query.get("baud", 115200)), 3)


def _check(args: argparse.Namespace, is_serial: bool) -> None:
    for name, least, most in (("seconds", 0.01, 86400), ("warm_up", 0, 86400), ("rate", 0.001, 10**6)):
        value = getattr(args, name)
        if value is not None and not (math.isfinite(value) and least <= value <= most):
            raise ValueError(f"--{name.replace('_', '-')} is a number from {least} to {most}, not {value:g}")
    for name, least, most in (("window", 1, 5000), ("pairs", 1, 1000), ("size", 8, args.max_packet - 100)):
        value = getattr(args, name)
        if value is not None and not least <= value <= most:
            raise ValueError(f"--{name} is a whole number from {least} to {most}, not {value}")
    topic = to_utf8(args.topic, "topic name")
    check_topic_name(topic)
    check_plain(topic)
    if args.rate is not None and args.window is not None:
        raise ValueError("--rate does not go with --window: at a rate nothing waits for what is under way")
    if args.far is not None and not is_serial:
        raise ValueError("--far is the other end of a serial line: the URL is that of the one end, serial:///dev/…")
    if is_serial and args.pairs != 1:
        raise ValueError("a serial line has one client: --pairs 1")


def _board(args: argparse.Namespace) -> int:
    from ...boards.examining.bench import Bench, BenchError, measure, wakings
    from ...boards.known import data
    from ...boards.report import Report

    if args.board is None:
        raise ValueError("give the kind of board, too: --board KIND; `mqttlite board list` has them")
    if args.size < 1 or args.count < 1:
        raise ValueError("--size and --count must be 1 or more")
    if args.output and args.output.suffix == ".svg":
        raise ValueError("a board's result is JSON: -o FILE.json")
    bench = Bench(args.device, data.get(args.board), args.broker, size=args.size, count=args.count, within_s=args.wait)
    try:
        report = Report(stream=sys.stderr)
        result: dict[str, Any] = wakings(bench, args.wakes, report) if args.wakes else measure(bench, report)
    except BenchError as error:
        raise ValueError(str(error)) from None
    text = json.dumps({"date": time.strftime("%Y-%m-%d"), **result}, indent=1) + "\n"
    if args.output:
        args.output.write_text(text, encoding="utf-8")
    print(text, end="")
    if not result["is_hardware"]:
        print(f"not hardware: {result['machine']}", file=sys.stderr)
    return 0
