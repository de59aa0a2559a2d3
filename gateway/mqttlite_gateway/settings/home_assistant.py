"""[home_assistant]: devices and what is to be seen of them.

[home_assistant]
prefix = "homeassistant"             # discovery prefix of Home Assistant's MQTT integration
state_topic = "mqttlite/home"        # below which the gateway says how devices are
id = "hall"                          # of this gateway, where several lead to one Home Assistant; this machine's name
every_s = 30                         # how often it says so; what has changed, at once
birth_jitter_s = 5                   # after Home Assistant's start, up to so many seconds at random

[[home_assistant.reading]]
device = "greenhouse-*"              # which devices have it: a pattern over names
topic = "devices/{name}/climate"     # where it comes from; {name}: the device's
name = "Temperature"
value = "value_json.t"               # what of it: an expression of Home Assistant's templates; the whole, if not said
component = "sensor"                 # or binary_sensor, switch, number …
device_class = "temperature"
unit = "°C"
state_class = "measurement"
more = { suggested_display_precision = 1 }    # whatever else the component knows
"""

import fnmatch
import re
import socket
from dataclasses import dataclass, field
from typing import Any

from mqttlite.core.errors import MQTTError
from mqttlite.core.text import check_topic_name, to_utf8

_COMPONENT = re.compile(r"[a-z][a-z0-9_]{0,31}")
# Keys that the gateway writes itself
_OWN = frozenset(("platform", "unique_id", "state_topic", "value_template", "name", "availability", "device", "origin"))


@dataclass(frozen=True)
class Reading:
    """One thing that devices say. ValueError for what cannot be."""

    topic: str
    name: str
    device: str = "*"
    value: str = ""
    component: str = "sensor"
    device_class: str = ""
    unit: str = ""
    state_class: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name is empty: what is the reading called?")
        _check_topic("topic", self.topic.replace("{name}", "x"))
        if not _COMPONENT.fullmatch(self.component):
            raise ValueError(f"component: {self.component!r:.40} is none of Home Assistant's, as sensor, binary_sensor")
        if both := sorted(_OWN & set(self.more)):
            raise ValueError(f"more: {both[0]} is the gateway's to say")
        if self.state_class and self.component != "sensor":
            raise ValueError(f"state_class: only a sensor has one, not a {self.component}")

    def is_of(self, device: str) -> bool:
        """Whether the device of this name has it."""
        return fnmatch.fnmatchcase(device, self.device)


@dataclass(frozen=True)
class HomeSettings:
    """The table. ValueError for what cannot be."""

    prefix: str = "homeassistant"
    state_topic: str = "mqttlite/home"
    id: str = ""
    every_s: float = 30.0
    birth_jitter_s: float = 5.0
    reading: tuple[Reading, ...] = ()

    def __post_init__(self) -> None:
        _check_topic("prefix", self.prefix)
        _check_topic("state_topic", self.state_topic)
        if self.state_topic == self.prefix or self.state_topic.startswith(self.prefix + "/"):
            raise ValueError(f"state_topic: {self.state_topic} lies below {self.prefix}, where Home Assistant looks")
        if not 1 <= self.every_s <= 86400:
            raise ValueError(f"every_s {self.every_s:g}: must be 1 to 86400 seconds")
        if not 0 <= self.birth_jitter_s <= 600:
            raise ValueError(f"birth_jitter_s {self.birth_jitter_s:g}: must be 0 to 600 seconds")

    @property
    def gateway(self) -> str:
        """The name of this gateway."""
        return self.id or socket.gethostname().partition(".")[0] or "gateway"

    @property
    def birth_topic(self) -> str:
        """Where Home Assistant says that it has started."""
        return f"{self.prefix}/status"


def _check_topic(key: str, topic: str) -> None:
    try:
        check_topic_name(to_utf8(topic, key))
    except MQTTError as error:
        raise ValueError(f"{key}: {error}") from None
    if not topic or topic[0] in "$/" or topic[-1] == "/":
        raise ValueError(f"{key}: {topic!r:.60} must be levels such as mqttlite/home")
