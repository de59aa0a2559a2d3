"""The answer to a plan: as plain data (`figures`), as JSON for programs, as text for people. Same numbers."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from . import costs
from .fleet import YEAR_DAYS, Fleet, load, rate_of
from .model import Result, outage, simulate
from .parts import Group
from .saturation import find

DAY_S = 86_400

MODEL = (
    "A model, not a measurement: queues and servers with sizes from the real encoders and costs from our benchmarks;"
    " docs/planning.md compares it with a real run."
)
LEFT_OUT = (
    "retained messages, wills, keep-alive packets of MQTT, CONNECT and SUBSCRIBE, more than one consumer",
    "TCP beyond a delay and a retry, other traffic on the network or the Wi-Fi, RS-485 buses, TLS",
    "other work of the processors, their caches and temperature; garbage collection; the file system besides the sync",
    "noise other than independent errors, receive buffers that overrun, unplugged lines",
    "handlers that fail, consumers that are away, queues that reach their limit and make publishers wait",
)


def answer(path: str | Path, as_json: bool = False, seed: int | None = None) -> str:
    """The answer to the plan in a file. FleetError."""
    fleet = load(path)
    if seed is not None:
        fleet = dataclasses.replace(fleet, run=dataclasses.replace(fleet.run, seed=seed))
    found = figures(fleet)
    if as_json:
        return json.dumps(found, indent=2, allow_nan=False)
    return text(found, Path(path).name)


def figures(fleet: Fleet) -> dict[str, Any]:
    """Everything that is reported, as data for JSON; units are in the names. What is infinite is None."""
    result = simulate(fleet)
    flow = result.flow
    return {
        "model": MODEL,
        "left_out": list(LEFT_OUT),
        "seed": fleet.run.seed,
        "devices": sum(group.count for group in fleet.devices),
        "planned_hours": fleet.run.hours,
        "simulated_s": result.simulated_ms / 1000,
        "messages": {"planned_per_s": fleet.rate, "offered": result.offered, "handled_per_s": result.rate},
        "latency_ms": _latency(result.latency),
        "groups": [_group(fleet, group, result.simulated_ms) for group in result.groups],
        "queues": {
            "due_and_not_handled": flow.deepest_backlog,
            "turn_of_the_broker": flow.deepest_inbox,
            "waiting_for_the_consumer": flow.deepest_queue,
        },
        "syncs_per_message": {
            "devices": result.device_syncs / max(1, result.offered),
            "broker": flow.commits / max(1, result.finished),
            "consumer": flow.consumer_syncs / max(1, result.finished),
        },
        "busy": result.busy,
        "power_cuts": _cuts(fleet, result),
        "saturation": dataclasses.asdict(find(fleet)),
    }


def _latency(latency: Any) -> dict[str, float]:
    return {"p50": latency.at(50), "p95": latency.at(95), "p99": latency.at(99), "max": latency.longest}


def _group(fleet: Fleet, group: Group, span: float) -> dict[str, Any]:
    config = group.config
    sent = max(1, sum(stream.offered for stream in group.streams))
    # By the plan's rates, not by how many came by chance.
    per_day = group.erases / sent * rate_of(config) * DAY_S
    blocks = fleet.flash.size_kb * 1024 // costs.FLASH_BLOCK
    return {
        "name": config.name,
        "count": config.count,
        "link": config.link,
        "messages": [
            {
                "name": stream.name,
                "qos": stream.qos,
                "packet_bytes": stream.size,
                "offered": stream.offered,
                "handled": stream.finished,
                "latency_ms": _latency(stream.latency),
            }
            for stream in group.streams
        ],
        "unconfirmed_on_one_device": {"mean": group.held_ms / span / config.count, "max": group.deepest},
        "line": None
        if config.link != "serial"
        else {
            "bytes_up_per_message": group.on_lines("bytes", "up") / sent,
            "bytes_down_per_message": group.on_lines("bytes", "down") / sent,
            "mqtt_bytes_up_per_message": group.on_lines("mqtt", "up") / sent,
            "mqtt_bytes_down_per_message": group.on_lines("mqtt", "down") / sent,
            "frames_per_message": group.on_lines("frames", "up", "down") / sent,
            "frames_repeated_per_message": group.on_lines("repeats", "up", "down") / sent,
        },
        "flash": None
        if config.store == "memory"
        else {
            "store": config.store,
            "syncs_per_message": group.syncs / sent,
            "erases_per_message": group.erases / sent,
            "erases_per_day": per_day,  # of one device
            "years": blocks * fleet.flash.endurance / per_day / YEAR_DAYS if per_day else None,
        },
    }


def _cuts(fleet: Fleet, result: Result) -> dict[str, Any]:
    """What power cuts cost in a year. QoS 1 and 2; at QoS 0 what is under way is always lost."""
    flow = result.flow
    gateway_cuts = fleet.gateway.cuts_per_year
    at_broker = flow.broker_held_ms / result.simulated_ms  # messages that the consumer has not handled, on average
    one = outage(fleet)
    return {
        "of_devices_per_year": sum(group.cuts_per_year * group.count for group in fleet.devices),
        "lost_at_devices_per_year": sum(
            group.config.cuts_per_year * group.held_ms / result.simulated_ms
            for group in result.groups
            if group.config.store == "memory"
        ),
        "of_the_gateway_per_year": gateway_cuts,
        "lost_at_the_broker_per_year": gateway_cuts * at_broker if fleet.broker.store == "memory" else 0.0,
        "one_outage": one
        and {key: value if math.isfinite(value) else None for key, value in dataclasses.asdict(one).items()},
    }


# --- text


def number(value: float | None) -> str:
    """Three digits are what the model is good for."""
    if value is None:
        return "∞"
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.001 or not value else f"{value:.1g}"


def _table(head: list[str], rows: list[list[str]], words: int) -> list[str]:
    """Lines of a table; the first `words` columns are text."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if i < words else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    ]


def text(answer: dict[str, Any], name: str) -> str:
    """The answer for people."""
    messages = answer["messages"]
    lines = [
        f"{name}: {number(answer['devices'])} devices, {number(messages['planned_per_s'])} messages a second",
        MODEL,
        f"Message by message for {number(answer['simulated_s'])} s of {number(answer['planned_hours'] * 3600)} s, seed "
        f"{answer['seed']}; what is said of days and years is scaled from there.",
        "",
        f"Latency, ms, from due at the device (answers: from the command) to handled; {number(messages['offered'])} "
        f"messages, {number(messages['handled_per_s'])} handled a second",
    ]
    rows = [
        [
            group["name"],
            one["name"],
            str(one["qos"]),
            number(one["packet_bytes"]),
            *(number(one["latency_ms"][key]) for key in ("p50", "p95", "p99", "max")),
        ]
        for group in answer["groups"]
        for one in group["messages"]
    ]
    lines += _table(["devices", "message", "QoS", "packet", "50 %", "95 %", "99 %", "longest"], rows, 2)
    lines += ["", "On the line, for each message; both ways, with acknowledgements, repeats and signs of life"]
    rows = [
        [group["name"], *(number(value) for value in group["line"].values())]
        for group in answer["groups"]
        if group["line"]
    ]
    head = ["devices", "bytes up", "down", "of them MQTT up", "down", "frames", "repeated"]
    lines += _table(head, rows, 1) if rows else ["  no serial lines"]
    lines += ["", *_stores(answer), "", *_queues(answer), "", *_power(answer), "", *_limit(answer)]
    lines += ["", "Left out:", *(f"  {what}" for what in answer["left_out"])]
    return "\n".join(lines)


def _stores(answer: dict[str, Any]) -> list[str]:
    syncs = answer["syncs_per_message"]
    lines = [
        "Sync calls for each message: "
        + ", ".join(f"{number(syncs[key])} {key}" for key in ("devices", "broker", "consumer"))
    ]
    rows = [
        [group["name"], flash["store"], *(number(flash[key]) for key in list(flash)[1:])]
        for group in answer["groups"]
        if (flash := group["flash"])
    ]
    if rows:
        head = ["devices", "store", "syncs", "erases a message", "a day, one device", "years until worn"]
        lines += ["Flash", *_table(head, rows, 2)]
    return lines


def _queues(answer: dict[str, Any]) -> list[str]:
    queues = answer["queues"]
    lines = [
        "Queues, the deepest: "
        f"{number(queues['due_and_not_handled'])} messages due and not handled, "
        f"{number(queues['turn_of_the_broker'])} packets in a turn of the broker, "
        f"{number(queues['waiting_for_the_consumer'])} messages waiting for the consumer"
    ]
    for group in answer["groups"]:
        held = group["unconfirmed_on_one_device"]
        lines.append(
            f"  unconfirmed on one device, {group['name']}: {number(held['max'])} (on average {number(held['mean'])})"
        )
    busy = sorted(answer["busy"].items(), key=lambda one: -one[1])
    lines.append("Busy: " + ", ".join(f"{name} {number(100 * share)} %" for name, share in busy if share >= 5e-4))
    return lines


def _power(answer: dict[str, Any]) -> list[str]:
    cuts = answer["power_cuts"]
    lines = [
        f"Power cuts a year: {number(cuts['of_devices_per_year'])} of devices, which lose "
        f"{number(cuts['lost_at_devices_per_year'])} messages at QoS 1 and 2; "
        f"{number(cuts['of_the_gateway_per_year'])} of gateway and broker, which lose "
        f"{number(cuts['lost_at_the_broker_per_year'])}"
    ]
    one = cuts["one_outage"]
    if one:
        lines.append(
            f"  one of {number(one['seconds'])} s: {number(one['messages_waiting'])} messages wait, "
            f"{number(one['unconfirmed_on_one_device'])} unconfirmed on one device; all is as before "
            f"{number(one['recovered_after_s'])} s after power is back; the longest took {number(one['longest_s'])} s"
        )
    return lines


def _limit(answer: dict[str, Any]) -> list[str]:
    limit = answer["saturation"]
    times = limit["times_the_plan"]
    above = f"above {number(limit['messages_per_s'])} messages a second, {number(times)} times the plan"
    lines = [
        f"Saturated {above if times else 'at any rate'}; first: {limit['first_group']}; "
        f"the bottleneck: {limit['bottleneck']}"
    ]
    rows = [
        [
            number(step["factor"]),
            *(number(step[key]) for key in ("rate", "handled", "p50", "p95", "p99")),
            "" if step["stable"] else "too much",
        ]
        for step in limit["sweep"]
    ]
    lines += _table(["times", "messages/s", "handled/s", "50 % ms", "95 %", "99 %", ""], rows, 0)
    helps = limit["handled_per_s_with_twice_as_much"]
    lines.append(
        "  at the last rate but with twice as much of: "
        + ", ".join(f"{name} {number(rate)}/s" for name, rate in helps.items())
    )
    return lines
