"""A site as the documentation shows it: some devices, an hour of their lines, an upstream that was away."""

import math
import random
import time
from typing import Any

from mqttlite_gateway.page.collect import Collector

from . import shown

AWAY_FROM_S, AWAY_TO_S = 2.3 * 3600, 900  # ago: the upstream "cloud" was away
RATE = 1.2  # messages a second that the site has for it
PICTURE = bytes.fromhex("ffd8ffe000104a46494600010101") * 9
GREENHOUSE = "/dev/serial/by-id/usb-Silicon_Labs_CP2102_0001-if00-port0"
TOPIC = "sensors/greenhouse-7/heat"
PUMP = "/dev/serial/by-id/usb-FTDI_FT232R_A50285BI-if00"


def site(broker: Any) -> Any:
    """The gateway; `grow` gives it its history."""
    now_ms = int(time.time() * 1000)
    lines = [
        shown.line(GREENHOUSE, "greenhouse-7"),
        shown.line(PUMP, "pump-2"),
        shown.line("/dev/ttyAMA0", "weather-mast"),
        shown.line(
            "/dev/ttyUSB3", looks_like="micropython prompt",
            advice="it looks like a MicroPython prompt: no program runs there. Does main.py exist, and has it ended?",
        ),
    ]  # fmt: skip
    letters = [
        {"id": 5, "topic": "sensors/pump-2/flow", "payload": b'{"flow": 12.25, "unit": "l/min"}', "qos": 2,
         "at_ms": now_ms - 7_200_000, "cause": "the upstream refuses it: not authorised (0x87)"},
        {"id": 9, "topic": "sensors/camera/picture", "payload": PICTURE, "qos": 1,
         "at_ms": now_ms - 600_000, "cause": "larger than the upstream takes (0x95)"},
    ]  # fmt: skip
    uplinks = (
        shown.Uplink("cloud", letters, in_doubt={"sent": 18, "released": 2}, sent=120_344, acknowledged=120_324,
                     refused=2, received=88, since_s=float(AWAY_TO_S), dropped={"queue_full": 3}),
        shown.Uplink("history", kind="postgres", url="postgresql://db.local/mqtt", sent=9_120, acknowledged=9_120,
                     drained_a_second=RATE, since_s=86_400.0),
    )  # fmt: skip
    return shown.gateway(*lines, uplinks=uplinks, broker=broker, ledger=shown.Ledger(*ways(now_ms)))


def ways(now_ms: int) -> list[dict[str, Any]]:
    """Of messages, the newest first."""
    sent, back = now_ms - 8_200_000, now_ms - 880_000

    def steps(begin: int, until: int) -> list[dict[str, Any]]:
        board, gateway, cloud = "greenhouse-7", "gateway", "cloud"
        found = [
            (begin, "accepted", board, gateway, "PUBLISH, QoS 2"),
            (begin + 6, "stored", gateway, gateway, "with the queue of cloud, one commit"),
            (begin + 9, "acknowledged", gateway, board, "PUBREC"),
            (until, "forwarded", gateway, cloud, "PUBLISH, QoS 2"),
            (until + 41, "acknowledged", cloud, gateway, "PUBREC"),
            (until + 78, "handled", cloud, cloud, "inbox"),
        ]
        keys = ("at_ms", "what", "from", "to", "detail")
        return [dict(zip(keys, step, strict=True)) for step in found]

    lanes = ["greenhouse-7", "gateway", "cloud"]
    found: list[dict[str, Any]] = []
    for number in range(6):
        begin = now_ms - 4_000 - 9_000 * number
        key = f"greenhouse-7/3/{1_048 - number}"
        found.append({"key": key, "topic": TOPIC, "lanes": lanes, "steps": steps(begin, begin + 60)})
    key = "greenhouse-7/3/1021"
    return [*found, {"key": key, "topic": TOPIC, "lanes": lanes, "steps": steps(sent, back)}]


def grow(gateway: Any, collector: Collector, now_s: float) -> None:
    """An hour of samples, and some."""
    chance = random.Random(7)
    bases = (340, 90, 45)
    for ago in range(400, -1, -1):
        at_s = now_s - 10 * ago
        for line, base in zip(gateway.lines, bases, strict=False):
            carry(line.state, base * (1 + 0.5 * math.sin(at_s / 900)) * chance.uniform(0.93, 1.07) * 10, chance)
        queue(gateway.uplinks[0].state, ago * 10)
        collector.sample(at_s)


def carry(state: dict[str, Any], size: float, chance: random.Random) -> None:
    """The line carries so many bytes."""
    frames = state["frames"]
    state["up_bytes"] += int(size)
    state["down_bytes"] += int(size / 5)
    frames["sent"] += int(size / 60)
    frames["received"] += int(size / 40)
    if chance.random() < 0.08:
        for name, most in (("repaired", 6), ("resent", 6), ("damaged", 4)):
            frames[name] += chance.randint(0, most)
    state["rtt_ms"] = round(state["rtt_ms"] * 0.8 + chance.uniform(9, 30) * 0.2, 1)


def queue(state: dict[str, Any], ago_s: float) -> None:
    """The queue of the upstream that was away, so long ago."""
    full = (AWAY_FROM_S - AWAY_TO_S) * RATE
    is_away = AWAY_TO_S < ago_s < AWAY_FROM_S
    left = full - (AWAY_TO_S - ago_s) * 6.5
    state["queued"] = int((AWAY_FROM_S - ago_s) * RATE if is_away else max(0, left) if ago_s <= AWAY_TO_S else 0)
    state["queued_bytes"] = state["queued"] * 160
    state["oldest_s"] = (AWAY_FROM_S - ago_s) if is_away else 5_100.0 if state["queued"] else None
    state["drained_a_second"] = 0.0 if is_away else 7.7 if state["queued"] else RATE
