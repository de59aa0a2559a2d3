"""What is written to the disk, and how many years a card lasts at the present rate."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .disk import mount_of
from .finding import DOUBTFUL, LEFT_OUT, OK, WRONG, Case, Finding

STEP = "wear"
SECTOR = 512  # bytes, whatever the device's own are: /sys/block/…/stat counts so
CYCLES = 500  # of erasing that a cell of a cheap card stands, at least
INSIDE = 4.0  # bytes that a card writes for each that it is given, with small synced writes; good ones 2, bad ones 10
YEAR_S = 365.25 * 86400
FEW_YEARS = 5.0
SHORT_S = 600.0  # that a rate is worth something


class Written(NamedTuple):
    """To a whole device since the machine has started."""

    name: str
    size: int  # bytes that it has
    bytes: int


def years(size: int, bytes_a_second: float) -> float:
    """That a card of this size stands it."""
    return size * CYCLES / (bytes_a_second * INSIDE * YEAR_S) if bytes_a_second > 0 else float("inf")


def device_of(folder: Path, blocks: Path = Path("/sys/dev/block")) -> Written | None:
    """The device below a folder, the whole one where it is a partition; None: there is none, or it cannot be told."""
    mount = mount_of(folder)
    if mount is None:
        return None
    place = Path(os.path.realpath(blocks / mount.device))
    if (place / "partition").exists():
        place = place.parent
    try:
        return Written(
            place.name,
            int((place / "size").read_text()) * SECTOR,
            int((place / "stat").read_text().split()[6]) * SECTOR,
        )
    except (OSError, ValueError, IndexError):
        return None


def look(case: Case) -> Iterator[Finding]:
    """The whole device, and the gateway's part of it."""
    yield from _used_up(case)
    device = device_of(case.store)
    if device is None:
        yield Finding(STEP, LEFT_OUT, f"which device {case.store} is on cannot be told")
    else:
        up_s = time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
        yield of_device(device, up_s)
    yield from _of_gateway(case, device)


def of_device(device: Written, up_s: float) -> Finding:
    """What everything on this machine writes."""
    rate = device.bytes / max(up_s, 1.0)
    found = years(device.size, rate)
    shown = "more than 100" if found > 100 else f"{found:.1f}"
    text = (
        f"all programs write {rate * 86400 / 1e6:.0f} MB a day to {device.name} ({device.size / 1e9:.0f} GB): "
        f"{shown} years, with {CYCLES} erasures a cell, and {INSIDE:.0f} bytes written inside for each"
    )
    values = {"device": device.name, "bytes_a_day": round(rate * 86400), "years": round(min(found, 1000.0), 1)}
    if up_s < SHORT_S:
        return Finding(STEP, LEFT_OUT, f"{text}; but this machine runs for {up_s / 60:.0f} minutes only", values=values)
    if found < FEW_YEARS:
        todo = (
            "see who writes (sudo iotop -ao); the journal in memory (Storage=volatile), no swap, a larger card, an SSD"
        )
        return Finding(STEP, DOUBTFUL, text, todo, values)
    return Finding(STEP, OK, text, values=values)


def _of_gateway(case: Case, device: Written | None) -> Iterator[Finding]:
    if case.pid is None:
        return
    try:
        lines = Path("/proc", str(case.pid), "io").read_text().splitlines()
        written = next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))
        began = os.stat(f"/proc/{case.pid}").st_ctime
    except (OSError, StopIteration):
        yield Finding(
            STEP, LEFT_OUT, "what the gateway writes is its own user's and root's to see", "sudo mqttlite doctor"
        )
        return
    for_s = max(1.0, time.time() - began)
    state = case.state or {}
    received = int(state.get("bytes_received", 0))
    text = f"the gateway has written {written / 1e6:.1f} MB in {for_s / 3600:.1f} h"
    values: dict[str, object] = {"written_bytes": written, "seconds": round(for_s)}
    if received:
        values["amplification"] = round(written / received, 2)
        text += f", {written / received:.1f} bytes for each that it has received"
    if device and for_s > SHORT_S:
        values["years"] = round(min(years(device.size, written / for_s), 1000.0), 1)
    yield Finding(STEP, OK, text, values=values)


def _used_up(case: Case) -> Iterator[Finding]:
    """What the card itself says: eMMC and a few SD cards do."""
    for path in Path("/sys/block").glob("mmcblk*/device/life_time"):
        try:
            worst = max(int(word, 16) for word in path.read_text().split())
        except (OSError, ValueError):
            continue
        if worst > 9:
            name = path.parts[3]
            text = f"{name} says that it has used {min(worst * 10, 100)} % of its life"
            yield Finding(STEP, WRONG, text, "make a backup (mqttlite gateway --backup), and replace the card")
