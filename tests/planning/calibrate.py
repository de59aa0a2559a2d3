"""A real run of the demo beside the model of the very same set-up: `python -m tests.planning.calibrate`.

Runs `mqttlite demo` as a program of its own and looks at it from outside, as any subscriber can: commands and answers
pass the demo's broker, and the gateway publishes its counters. Nothing of the demo is imported.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from mqttlite.client import Client
from mqttlite.planning.fleet import Fleet, load
from mqttlite.planning.model import simulate

_CPU_TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


class _Observer:
    """What a subscriber sees of a run."""

    def __init__(self) -> None:
        self.asked: dict[tuple[str, Any], float] = {}
        self.round_trips_ms: list[float] = []
        self.readings = 0
        self.sizes: dict[str, list[int]] = {}  # payload bytes by the last level of the topic
        self.first: dict[str, dict[str, Any]] = {}  # the gateway's counters by device, when readings began
        self.last: dict[str, dict[str, Any]] = {}
        self.begun = self.ended = 0.0

    def saw(self, topic: str, payload: bytes, now: float) -> None:
        """A message at the broker."""
        levels = topic.split("/")
        name = levels[-1]
        if levels[0] == "mqttlite-demo-gateway":
            if name != "online" and self.begun:
                status = json.loads(payload)
                self.first.setdefault(name, {**status, "at": now, "readings": self.readings})
                self.last[name] = {**status, "at": now, "readings": self.readings}
            return
        if name in ("fast", "event", "count"):
            self.begun = self.begun or now
            self.ended = now
            self.readings += 1
        self.sizes.setdefault(name, []).append(len(payload))
        if name in ("command", "answer"):
            number = json.loads(payload).get("id")
            if name == "command":
                self.asked[levels[2], number] = now
            elif (levels[2], number) in self.asked:
                self.round_trips_ms.append((now - self.asked.pop((levels[2], number))) * 1000)


def _cpu_us(parent: int) -> dict[str, float]:
    """Processor time that the demo's broker and gateway have used, by their names."""
    used = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            after_name = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            words = (folder / "cmdline").read_bytes().split(b"\0")
            for name in ("broker", "gateway"):
                if int(after_name[1]) == parent and name.encode() in words:
                    used[name] = (int(after_name[11]) + int(after_name[12])) * _CPU_TICK_US
    return used


async def observe(seconds: float) -> tuple[dict[str, float], str]:
    """Run the demo; what it and its gateway said, and the demo's own last lines."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mqttlite", "demo", "--seconds", f"{seconds:g}", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    lines: list[str] = []
    url = ""
    while not url:
        text = (await process.stdout.readline()).decode()
        if not text:
            raise SystemExit("the demo ended before it said where its broker is")
        lines.append(text.rstrip())
        if text.startswith("broker"):
            url = text.split()[1]
    seen = _Observer()
    cpu: list[tuple[float, dict[str, float]]] = []
    async with Client(url) as client:
        await client.subscribe("mqttlite-demo/#", qos=0)
        await client.subscribe("mqttlite-demo-gateway/#", qos=0)

        async def watch() -> None:
            async for message in client:
                seen.saw(message.topic, bytes(message.payload), time.monotonic())
                if not cpu or time.monotonic() - cpu[-1][0] > 1:
                    cpu.append((time.monotonic(), _cpu_us(process.pid)))

        watching = asyncio.create_task(watch())
        while text := (await process.stdout.readline()).decode():
            lines.append(text.rstrip())
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    await process.wait()
    figures = _figures(seen, cpu)
    repaired = re.search(r"(\d+) frames repaired", lines[-1])
    if repaired:
        figures["frames repaired per reading"] = int(repaired[1]) / seen.readings
    return figures, "\n".join(lines)


def _figures(seen: _Observer, cpu: list[tuple[float, dict[str, float]]]) -> dict[str, float]:
    up = down = frames_up = frames_down = readings = 0
    for device, last in seen.last.items():
        first = seen.first[device]
        up += last["up_bytes"] - first["up_bytes"]
        down += last["down_bytes"] - first["down_bytes"]
        frames_down += last["frames"]["sent"] - first["frames"]["sent"]
        for name in ("received", "damaged"):
            frames_up += last["frames"][name] - first["frames"][name]
    span = next(iter(seen.last.values()))
    begin = next(iter(seen.first.values()))
    readings = span["readings"] - begin["readings"]
    trips = statistics.quantiles(seen.round_trips_ms, n=100, method="inclusive")
    figures = {
        "readings a second": readings / (span["at"] - begin["at"]),
        "MQTT bytes up per reading": up / readings,
        "MQTT bytes down per reading": down / readings,
        "frames up per reading": frames_up / readings,
        "frames down per reading": frames_down / readings,
        "round trip, ms, 50 %": trips[49],
        "round trip, ms, 95 %": trips[94],
        "round trip, ms, 99 %": trips[98],
        "round trip, ms, longest": max(seen.round_trips_ms),
    }
    whole = [(at, used) for at, used in cpu if len(used) == 2]
    if len(whole) > 2:
        (at, before), (end, after) = whole[1], whole[-1]
        for name in before:
            figures[f"{name}, share of a processor, %"] = (after[name] - before[name]) / (end - at) / 1e4
    for name, sizes in sorted(seen.sizes.items()):
        figures[f"payload of {name}, bytes"] = statistics.mean(sizes)
    return figures


def predicted(fleet: Fleet) -> dict[str, float]:
    """The same figures from the model."""
    result = simulate(fleet)
    group = result.groups[0]
    readings = sum(stream.finished for stream in group.streams if stream.name in ("fast", "event", "count"))
    trip = next(stream for stream in group.streams if stream.name == "answer").latency
    return {
        "readings a second": 1000 * readings / result.simulated_ms,
        "MQTT bytes up per reading": group.on_lines("mqtt", "up") / readings,
        "MQTT bytes down per reading": group.on_lines("mqtt", "down") / readings,
        "frames up per reading": group.on_lines("frames", "up") / readings,
        "frames down per reading": group.on_lines("frames", "down") / readings,
        "frames repaired per reading": group.on_lines("repaired", "up", "down") / readings,
        "round trip, ms, 50 %": trip.at(50),
        "round trip, ms, 95 %": trip.at(95),
        "round trip, ms, 99 %": trip.at(99),
        "round trip, ms, longest": trip.longest,
        "gateway, share of a processor, %": 100 * result.busy["gateway processor"],
        "broker, share of a processor, %": 100 * result.busy["broker processor"],
    }


def main() -> int:
    """Print both columns."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).with_name("demo.toml")
    parser.add_argument("fleet", nargs="?", default=default, help="a plan of the demo's set-up (demo.toml beside this)")
    parser.add_argument("--seconds", type=float, default=60, help="how long the demo runs (60)")
    args = parser.parse_args()
    expected = predicted(load(args.fleet))
    figures, said = asyncio.run(observe(args.seconds))
    print(said, "\n")
    print(f"{'':36}{'demo':>10}{'model':>10}")
    for name, value in figures.items():
        print(f"{name:36}{value:10.3g}" + (f"{expected[name]:10.3g}" if name in expected else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
