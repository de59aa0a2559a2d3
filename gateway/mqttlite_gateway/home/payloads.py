"""What Home Assistant is told of one device: device-based discovery, one message with all components, and the state
that these read. https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery

Texts of devices (their names) stand in JSON alone, never in a template.
"""

import json
import re
from binascii import crc32
from dataclasses import dataclass
from typing import Any

from mqttlite import __version__

from ..settings.home_assistant import HomeSettings, Reading

ORIGIN = {"name": "mqttlite", "sw_version": __version__}
OURS = "mqttlite_"  # how identifiers begin
ONLINE, OFFLINE = "online", "offline"
ON, OFF = "ON", "OFF"
MISSED = 4  # states that do not come before what they say counts no more

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,48}")


@dataclass(frozen=True)
class Seen:
    """A device as it is now. `kind`: "line" (serial), "network", or "gateway"; `problem`: words, "" when all is well.
    None: that is not known of this kind of device.
    """

    name: str
    kind: str
    is_connected: bool
    quality: float | None = None  # per cent of frames that came whole the first time
    rtt_ms: float | None = None
    queued: int | None = None
    in_doubt: int | None = None
    problem: str = ""


def object_id(*names: str) -> str:
    """An id for Home Assistant, of letters, digits, - and _: another one for other names, always the same for these."""
    text = "_".join(names)
    if all(_PLAIN.fullmatch(name) for name in names) and len(names) < 3 and "_" not in "".join(names[:1]):
        return text
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:40]
    return f"{plain}-{crc32(json.dumps(names).encode()):08x}"


def device_id(settings: HomeSettings, seen: Seen) -> str:
    """Of a device of this gateway, or of the gateway itself."""
    return OURS + (object_id(settings.gateway) if seen.kind == "gateway" else object_id(settings.gateway, seen.name))


def config_topic(settings: HomeSettings, identifier: str) -> str:
    """Where it is told of a device."""
    return f"{settings.prefix}/device/{identifier}/config"


def state_topic(settings: HomeSettings, identifier: str) -> str:
    """Where the state of a device is."""
    return f"{settings.state_topic}/{identifier}/state"


def online_topic(settings: HomeSettings) -> str:
    """Whether the gateway is there."""
    return f"{settings.state_topic}/{OURS}{object_id(settings.gateway)}/{ONLINE}"


def at_once(seen: Seen) -> tuple[bool, str]:
    """What of a state cannot wait, when it has changed."""
    return seen.is_connected, seen.problem


def state(seen: Seen) -> str:
    """How a device is."""
    found: dict[str, Any] = {"connected": ON if seen.is_connected else OFF, "problem": seen.problem[:255]}
    for name in ("quality", "rtt_ms", "queued", "in_doubt"):
        value = getattr(seen, name)
        if value is not None:
            found[name] = round(value, 1)
    return json.dumps(found, ensure_ascii=False)


def config(settings: HomeSettings, seen: Seen) -> dict[str, Any]:
    """All that Home Assistant has to know of a device."""
    identifier = device_id(settings, seen)
    gateway = OURS + object_id(settings.gateway)
    device: dict[str, Any] = {
        "identifiers": [identifier],
        "name": settings.gateway if seen.kind == "gateway" else seen.name,
        "manufacturer": "mqttlite",
        "model": _MODELS[seen.kind],
    }
    if seen.kind == "gateway":
        device["sw_version"] = __version__
    else:
        device["via_device"] = gateway
    components = _own(settings, seen, identifier)
    for reading in settings.reading if seen.kind != "gateway" else ():
        if reading.is_of(seen.name):
            found = _reading(settings, reading, seen, identifier)
            components[found["unique_id"].removeprefix(identifier + "_")] = found
    return {
        "device": device,
        "origin": ORIGIN,
        "components": components,
        "state_topic": state_topic(settings, identifier),
        "availability": [{"topic": online_topic(settings)}],
    }


_MODELS = {"gateway": "gateway", "line": "device on a serial line", "network": "device in the network"}


def _own(settings: HomeSettings, seen: Seen, identifier: str) -> dict[str, dict[str, Any]]:
    """What a gateway knows of a device."""
    expire = max(round(MISSED * settings.every_s), 1)

    def component(key: str, platform: str, name: str, **more: Any) -> tuple[str, dict[str, Any]]:
        return key, {
            "platform": platform,
            "unique_id": f"{identifier}_{key}",
            "name": name,
            "value_template": f"{{{{ value_json.{key} | default('None') }}}}",
            "entity_category": "diagnostic",
            "expire_after": expire,
            **more,
        }

    found = [component("connected", "binary_sensor", "Connection", device_class="connectivity")]
    measured = {"state_class": "measurement"}
    if seen.kind == "line":
        quality = {"unit_of_measurement": "%", "icon": "mdi:sine-wave", **measured}
        found.append(component("quality", "sensor", "Line quality", **quality))
        rtt = {"unit_of_measurement": "ms", "device_class": "duration", **measured}
        found.append(component("rtt_ms", "sensor", "Round-trip time", **rtt))
    if seen.queued is not None:
        queue = {"unit_of_measurement": "messages", "icon": "mdi:tray-full", **measured}
        found.append(component("queued", "sensor", "Queue", **queue))
    if seen.kind == "gateway":
        doubt = {"icon": "mdi:help-circle-outline", "unit_of_measurement": "messages", **measured}
        found.append(component("in_doubt", "sensor", "In doubt", **doubt))
        found.append(component("problem", "sensor", "Problem", icon="mdi:alert-circle-outline"))
    return dict(found)


def _reading(settings: HomeSettings, reading: Reading, seen: Seen, identifier: str) -> dict[str, Any]:
    """What a device says itself: not known while the device is away."""
    key = object_id("reading", reading.name)
    found: dict[str, Any] = {
        "platform": reading.component,
        "unique_id": f"{identifier}_{key}",
        "name": reading.name,
        "state_topic": reading.topic.replace("{name}", seen.name),
        "availability_mode": "all",
        "availability": [
            {"topic": online_topic(settings)},
            {
                "topic": state_topic(settings, identifier),
                "value_template": "{{ 'online' if value_json.connected == 'ON' else 'offline' }}",
            },
        ],
        **reading.more,
    }
    if reading.value:
        found["value_template"] = f"{{{{ {reading.value} }}}}"
    for name, value in (
        ("device_class", reading.device_class),
        ("unit_of_measurement", reading.unit),
        ("state_class", reading.state_class),
    ):
        if value:
            found[name] = value
    return found


def without(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """`new`, and of components that are in `old` alone the platform, which is how Home Assistant removes them."""
    before = old.get("components")  # as somebody else may have written it
    gone = {
        key: {"platform": each["platform"]}
        for key, each in (before.items() if isinstance(before, dict) else ())
        if key not in new["components"]
        and isinstance(each, dict)
        and len(each) > 1
        and isinstance(each.get("platform"), str)
    }
    return {**new, "components": {**new["components"], **gone}} if gone else new
