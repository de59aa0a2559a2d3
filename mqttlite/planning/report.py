"""The answer to a plan: as plain data (`figures`), as JSON for programs, as text for people. Same numbers."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from .fleet import Fleet, load
from .model import GroupUse, Outage, Result, outage, simulate
from .saturation import Saturation, find

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


def plan(path: str | Path, as_json: bool = False, seed: int | None = None) -> str:
    """The answer to the plan in a file. FleetError."""
    fleet = load(path)
    if seed is not None:
        fleet = dataclasses.replace(fleet, run=dataclasses.replace(fleet.run, seed=seed))
    answer = figures(fleet)
    if as_json:
        return json.dumps(answer, indent=2, allow_nan=False)
    return text(answer, Path(path).name)


def figures(fleet: Fleet) -> dict[str, Any]:
    """Everything that is reported, as data for JSON; units are in the names. What is infinite is None."""
    result = simulate(fleet)
    cut = outage(fleet)
    answer: dict[str, Any] = {
        "model": MODEL,
        "left_out": list(LEFT_OUT),
        "seed": fleet.run.seed,
        "devices": sum(group.count for group in fleet.devices),
        "planned_hours": fleet.run.hours,
        "simulated_s": result.simulated_s,
        "messages": {"planned_per_s": fleet.rate, "offered": result.offered, "handled_per_s": result.rate},
        "latency_ms": _latency(result.latency),
        "groups": [
            _group(fleet, config_group, use) for config_group, use in zip(fleet.devices, result.groups, strict=True)
        ],
        "queues": {
            "due_and_not_handled": result.deepest_backlog,
            "turn_of_the_broker": result.deepest_inbox,
            "waiting_for_the_consumer": result.deepest_queue,
        },
        "syncs_per_message": {
            "devices": result.device_syncs / max(1, result.offered),
            "broker": result.broker_syncs / max(1, result.finished),
            "consumer": result.consumer_syncs / max(1, result.finished),
        },
        "busy": result.busy,
        "power_cuts": _cuts(fleet, result, cut),
        "saturation": _saturation(find(fleet)),
    }
    return answer


def _latency(latency: Any) -> dict[str, float]:
    return {"p50": latency.at(50), "p95": latency.at(95), "p99": latency.at(99), "max": latency.longest}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _group(fleet: Fleet, config: Any, use: GroupUse) -> dict[str, Any]:
    sent = max(1, sum(stream.offered for stream in use.streams))
    line = use.line
    return {
        "name": use.name,
        "count": use.count,
        "link": config.link,
        "messages": [
            {
                "name": stream.name,
                "qos": stream.qos,
                "packet_bytes": stream.packet_bytes,
                "offered": stream.offered,
                "handled": stream.finished,
                "latency_ms": _latency(stream.latency),
            }
            for stream in use.streams
        ],
        "unconfirmed_on_one_device": {"mean": use.mean_held, "max": use.deepest},
        "line": None
        if config.link != "serial"
        else {
            "bytes_up_per_message": line.up_bytes / sent,
            "bytes_down_per_message": line.down_bytes / sent,
            "mqtt_bytes_up_per_message": line.up_mqtt / sent,
            "mqtt_bytes_down_per_message": line.down_mqtt / sent,
            "frames_per_message": (line.up_frames + line.down_frames) / sent,
            "frames_repeated_per_message": line.repeats / sent,
        },
        "flash": None
        if config.store == "memory"
        else {
            "store": config.store,
            "syncs_per_message": use.syncs / sent,
            "erases_per_message": use.erases / sent,
            "erases_per_day": use.erases_per_day,
            "years": _finite(use.flash_years),
        },
    }


def _cuts(fleet: Fleet, result: Result, cut: Outage | None) -> dict[str, Any]:
    """What power cuts cost in a year. QoS 1 and 2; at QoS 0 what is under way is always lost."""
    lost_at_devices = sum(
        config.cuts_per_year * config.count * use.mean_held
        for config, use in zip(fleet.devices, result.groups, strict=True)
        if config.store == "memory"
    )
    gateway_cuts = fleet.gateway.cuts_per_year
    answer: dict[str, Any] = {
        "of_devices_per_year": sum(group.cuts_per_year * group.count for group in fleet.devices),
        "lost_at_devices_per_year": lost_at_devices,
        "of_the_gateway_per_year": gateway_cuts,
        "lost_at_the_broker_per_year": gateway_cuts * result.broker_held if fleet.broker.store == "memory" else 0.0,
        "one_outage": None,
    }
    if cut:
        answer["one_outage"] = {
            "seconds": cut.seconds,
            "messages_waiting": cut.waiting,
            "unconfirmed_on_one_device": cut.device_waiting,
            "messages_late": cut.late,
            "longest_s": cut.longest_s,
            "recovered_after_s": _finite(cut.recovered_s),
        }
    return answer


def _saturation(found: Saturation) -> dict[str, Any]:
    return {
        "messages_per_s": found.rate,
        "times_the_plan": found.factor,
        "bottleneck": found.bottleneck,
        "first_group": found.group,
        "handled_per_s_with_twice_as_much": dict(found.helps),
        "sweep": [dataclasses.asdict(step) for step in found.steps],
    }


# --- text


def _number(value: float | None) -> str:
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
    number = _number
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
    number = _number
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
    number = _number
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
    number = _number
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
    number = _number
    limit = answer["saturation"]
    if not limit["times_the_plan"]:
        lines = [f"Saturated at any rate; first: {limit['first_group']}; the bottleneck: {limit['bottleneck']}"]
    else:
        lines = [_saturated_above(limit)]
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


def _saturated_above(limit: dict[str, Any]) -> str:
    number = _number
    return (
        f"Saturated above {number(limit['messages_per_s'])} messages a second, {number(limit['times_the_plan'])} times "
        f"the plan; first: {limit['first_group']}; the bottleneck: {limit['bottleneck']}"
    )
