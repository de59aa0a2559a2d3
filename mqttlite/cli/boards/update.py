"""`mqttlite update`: what boards run is replaced over MQTT, one of them or a fleet."""

import argparse
import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import TIMED_OUT
from ..streams import say

if TYPE_CHECKING:
    from ...boards.updating.devices import Device, Devices
    from ...boards.updating.manifest import Release

_DESCRIPTION = """\
Replaces what boards run, over MQTT: the application and mqttlite, or the whole image where the board has OTA slots.

  mqttlite update push my-sensor pump-7                 the application in this folder, to one board
  mqttlite update push my-sensor --all --first 2 --percent 25      to all in devices.toml: two, then a quarter at a time
  mqttlite update status --all                          what runs where

A board keeps what it runs until all of the new version is there, verified, and has proved itself: --starts starts,
each of --within seconds, until a message of its application is confirmed (of QoS 2 where it has such); otherwise
it goes back by itself, and says so. Cut power and lost connections only pause it, and so does Ctrl-C here: the same
command goes on. Only what has changed is sent.

Releases can be signed by whoever makes them, and be sent by whoever has the boards' keys:

  mqttlite update key maker.key                         once: maker.key (secret) and maker.key.pub
  mqttlite update sign my-sensor --key maker.key --name 1.4.2 -o my-sensor-1.4.2.release
  mqttlite update push my-sensor-1.4.2.release --maker maker.key.pub --all
"""

_PUSH = """\
Send a release to devices: an application's folder, or what `mqttlite update sign` has made. Devices are those that
`mqttlite flash` and `mqttlite board setup` have set up from this computer.

  mqttlite update push my-sensor pump-7                              one board
  mqttlite update push my-sensor --all --first 2 --percent 25        two, and if they are good a quarter of the rest …
  mqttlite update push my-sensor-1.4.2.release --maker maker.key.pub --fleet fleet.csv --broker mqtt://pi.local
  mqttlite update push micropython.bin pump-7 --image --name 1.27    the image, where the board has two OTA slots
"""
_STATUS = """\
Ask devices which release they run, in which half of the flash, and what became of their last update.

  mqttlite update status pump-7
  mqttlite update status --all --json --broker mqtt://pi.local
"""
_KEY = """\
Make a maker's key, once: FILE, which signs releases and stays with the maker, and FILE.pub for whoever sends them.

  mqttlite update key maker.key
"""
_SIGN = """\
Make a file of what boards are to run, signed by its maker; `mqttlite update push` sends it.

  mqttlite update sign my-sensor --key maker.key --name 1.4.2              my-sensor-1.4.2.release
  mqttlite update sign micropython.bin --image --key maker.key --name 1.27-frozen -o pump.release
"""

_EPILOG = """\
exit codes: 0 each device runs it; 1 error, or a device has failed; 27 nothing was heard of a device for too long
(--wait), and none has failed; 130 Ctrl-C"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser(
        "update",
        help="replace what boards run, over MQTT",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inner = parser.add_subparsers(title="commands", dest="subcommand", metavar="COMMAND", required=True)
    push = _command(inner, "push", "send a release to devices", _PUSH, epilog=_EPILOG)
    push.add_argument("release", type=Path, metavar="WHAT", help="a signed release, or an application's folder")
    _add_devices(push)
    _add_content(push)
    push.add_argument(
        "--maker",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="public key of a maker whose releases are taken; repeatable (all in ~/.config/mqttlite/makers/)",
    )
    stages = push.add_argument_group("stages")
    stages.add_argument("--first", type=int, default=1, metavar="N", help="so many devices alone, until good (1)")
    stages.add_argument(
        "--percent", type=float, default=100.0, metavar="P", help="of the rest at a time, until good (100)"
    )
    stages.add_argument("--failures", type=int, default=0, metavar="N", help="go on in spite of so many failures (0)")
    stages.add_argument(
        "--wait", type=float, default=900.0, metavar="S", help="so long nothing may be heard of a device (900)"
    )
    trial = push.add_argument_group("trial")
    trial.add_argument("--starts", type=int, default=3, metavar="N", help="starts until a board goes back (3)")
    trial.add_argument(
        "--within", type=int, default=600, metavar="S", help="seconds of each, until a message is confirmed (600)"
    )
    trial.add_argument("--block", type=int, default=1024, metavar="BYTES", help="size of a block (1024)")
    push.add_argument("--json", action="store_true", help="say everything as JSON, an object a line")
    push.set_defaults(run=run_push)

    status = _command(inner, "status", "what runs where", _STATUS)
    _add_devices(status)
    status.add_argument("--json", action="store_true", help="as JSON")
    status.set_defaults(run=run_status)

    key = _command(inner, "key", "make a maker's key", _KEY)
    key.add_argument("file", type=Path, help="for the private key; the public one goes beside it, FILE.pub")
    key.set_defaults(run=run_key)

    sign = _command(inner, "sign", "make a signed release", _SIGN)
    sign.add_argument("release", type=Path, metavar="WHAT", help="an application's folder; with --image a .bin")
    _add_content(sign)
    sign.add_argument("--key", type=Path, required=True, metavar="FILE", help="the maker's private key")
    sign.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="(NAME.release, of a NAME that you give behind that of WHAT)"
    )
    sign.set_defaults(run=run_sign)


def _command(
    inner: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, words: str, description: str, **more: Any
) -> argparse.ArgumentParser:
    return inner.add_parser(
        name, help=words, description=description, formatter_class=argparse.RawDescriptionHelpFormatter, **more
    )


def _add_devices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("device", nargs="*", help="names of devices")
    who = parser.add_argument_group("devices")
    who.add_argument("--all", action="store_true", help="all that this computer knows")
    who.add_argument("--fleet", type=Path, metavar="FILE", help="those in a fleet.csv")
    who.add_argument(
        "--devices", type=Path, metavar="FILE", help="where keys of devices are (~/.config/mqttlite/devices.toml)"
    )
    to = parser.add_argument_group("connection")
    to.add_argument("--broker", default="mqtt://localhost:1883", metavar="URL", help="(mqtt://localhost:1883)")
    to.add_argument("-u", "--username", metavar="NAME", help="user name at the broker")
    to.add_argument("-P", "--pw", metavar="PASSWORD", help="password; or in MQTTLITE_PASSWORD, where nobody sees it")


def _add_content(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what is in it")
    what.add_argument("--name", metavar="TEXT", help="of the release (the folder's name and the time)")
    what.add_argument("--settings", type=Path, metavar="FILE", help="board.toml, for the bundle (FOLDER/board.toml)")
    what.add_argument("--image", action="store_true", help="it is a .bin of MicroPython for an OTA slot, not a folder")


def run_key(args: argparse.Namespace) -> int:
    """`update key`."""
    from ...boards.updating.release import make_key

    public = make_key(args.file)
    print(f"{args.file}: private, for `mqttlite update sign`; keep it, and keep it secret")
    print(f"{public}: public, for whoever sends your releases to boards (--maker)")
    return 0


def run_sign(args: argparse.Namespace) -> int:
    """`update sign`."""
    from ...boards.updating.release import pack

    release = _made(args)
    data = pack(release, args.key)
    stem = args.release.resolve().stem
    name = release.name if release.name.startswith(stem) else f"{stem}-{release.name}"
    output = args.output or Path(f"{name}.release".replace("/", "-"))
    output.write_bytes(data)
    size = sum(map(len, release.files.values()))
    what = "an image" if args.image else f"{len(release.files)} files"
    print(f"{output}: release {release.name}, {what}, {size:,} bytes, signed")
    return 0


def run_push(args: argparse.Namespace) -> int:
    """`update push`."""
    from ...boards.updating import release as releases
    from ...boards.updating.devices import Devices

    if args.first < 0 or not 0 < args.percent <= 100 or args.failures < 0 or args.wait <= 0:
        raise ValueError("--first and --failures must be 0 or more, --percent above 0 up to 100, --wait above 0")
    devices = Devices(args.devices)
    wanted = _chosen(args, devices)
    for device in wanted:
        device.key_bytes()  # before anything is sent
    if args.release.is_file() and not args.image:
        release = releases.unpack(args.release, args.maker or releases.makers())
    else:
        release = _made(args)
    return asyncio.run(_push(args, devices, wanted, release))


async def _push(args: argparse.Namespace, devices: "Devices", wanted: "list[Device]", release: "Release") -> int:
    from ...boards.updating.manifest import Update
    from ...boards.updating.rollout import DONE, Rollout, Stages
    from ...boards.updating.rollout_report import RolloutReport

    report = RolloutReport(as_json=args.json)

    def make(device: "Device", count: int) -> Update:
        return Update(release, device.name, device.key_bytes(), count, args.block, args.starts, args.within)

    def next_count(device: "Device", least: int) -> int:
        return devices.next_counter(device.name, max(int(time.time()), least))

    async with _client(args) as client:
        rollout = Rollout(
            client,
            wanted,
            make,
            next_count,
            Stages(args.first, args.percent, args.failures, args.wait),
            report.device,
            report.stage,
        )
        is_done = await rollout.run()
    by_phase: dict[str, int] = {}
    for progress in rollout.progress:
        by_phase[progress.phase] = by_phase.get(progress.phase, 0) + 1
        if progress.phase in DONE:
            _remember(devices, progress.device.name, release.name)
    good = sum(by_phase.get(phase, 0) for phase in DONE)
    text = f"{release.name}: {good} of {len(wanted)} devices run it"
    others = [f"{by_phase[phase]} {phase}" for phase in ("failed", "silent", "waiting") if phase in by_phase]
    report.end(text + "".join(f", {words}" for words in others), release=release.name, **by_phase)
    return 0 if is_done else 1 if by_phase.get("failed") else TIMED_OUT


def _remember(devices: "Devices", name: str, release: str) -> None:
    from dataclasses import replace

    device = devices.find(name)
    if device and device.version != release:
        devices.put(replace(device, version=release))


def run_status(args: argparse.Namespace) -> int:
    """`update status`."""
    from ...boards.updating.devices import Devices

    return asyncio.run(_status(args, _chosen(args, Devices(args.devices))))


async def _status(args: argparse.Namespace, wanted: "list[Device]") -> int:
    import json

    from ...boards.updating.rollout import states
    from ...core.shown import shown

    async with _client(args) as client:
        found = await states(client, wanted)
    if args.json:
        print(json.dumps({device.name: found.get(device.name) for device in wanted}, indent=1))
        return 0
    rows = [("device", "runs", "half", "last update")]
    for device in wanted:
        state = found.get(device.name)
        if state is None:
            rows.append((device.name, device.version or "?", "?", "none that it has told of"))
            continue
        why = f": {state['why']}" if state.get("why") else ""
        release, half = state.get("release") or "what was flashed", state.get("half") or "-"
        rows.append((device.name, shown(str(release)), shown(str(half)), shown(f"{state.get('state')}{why}", 200)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip())
    return 0


def _made(args: argparse.Namespace) -> "Release":
    """A release of a folder, or of an image."""
    from ...boards.settings.settings_file import read_settings
    from ...boards.updating import release as releases

    path: Path = args.release
    name = args.name or f"{path.resolve().stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    if args.image:
        return releases.image(path, name)
    if path.is_file():
        raise ValueError(f"{path} is a file: a release is made of an application's folder, or with --image of a .bin")
    settings = args.settings or path / "board.toml"
    values = {"url": "serial:usb"}  # where they do not say it, the bundle that can do all
    if args.settings or settings.exists():
        values |= read_settings(settings, partly=True)
    return releases.folder(path, values, name)


def _chosen(args: argparse.Namespace, devices: "Devices") -> "list[Device]":
    """The devices that are meant. ValueError: none, or one that is not known."""
    from ...boards.settings.settings_file import read_fleet

    names = list(args.device)
    if args.fleet:
        names += [str(row["name"]) for row in read_fleet(args.fleet)]
    if args.all:
        names += devices.names()
    found = [devices.get(name) for name in dict.fromkeys(names)]
    if not found:
        what = f"{devices.path} has none" if args.all else "name some, or give --all or --fleet FILE"
        raise ValueError(f"no device: {what}")
    return found


def _client(args: argparse.Namespace) -> Any:
    from ... import Client

    password = args.pw if args.pw is not None else os.environ.get("MQTTLITE_PASSWORD") if args.username else None
    return Client(args.broker, username=args.username, password=password, on_connection=_say_connection)


def _say_connection(is_connected: bool, reason: str) -> None:
    if not is_connected and reason:
        say(f"mqttlite update: the connection to the broker is lost: {reason}; it is made again")
