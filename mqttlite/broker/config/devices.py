"""[devices]: what `mqttlite device add` and the page give a new device, and what it may do.

[devices]
file = "/etc/mqttlite/devices.toml"     # who is a device: beside the users, if nothing is said
url = "mqtts://pi.local:8883"           # as a device reaches this broker: the first listener for others, at this host
ca = "/etc/mqttlite/ca.pem"             # by which it knows it: the last certificate of [tls] certificate

[devices.templates.pump]                # mqttlite device add --template pump; %u is the device's name
publish = ["pumps/%u/#"]
subscribe = ["pumps/%u/command", "weather/#"]
topic = "pumps/%u"                      # below which its own topics are
"""

from typing import Any

from ...settings.found import Found
from ..access.device_file import BUILT_IN, TOPIC, Template
from .settings import Settings

KEYS = ("devices",)

_TEXTS = ("file", "url", "ca")


def read(found: Found, settings: Settings) -> None:
    """Take the table over."""
    with found.gathering():
        table = found.table("devices")
        found.names(("devices",), (*_TEXTS, "templates"))
        for name in _TEXTS:
            value = table.get(name, "")
            if not isinstance(value, str) or (name in table and not value):
                raise found.mistake(("devices", name), f"{name} has to be a text in quotes, not {value!r:.60}")
            setattr(settings.devices, name, value)
        templates = table.get("templates", {})
        if not isinstance(templates, dict):
            raise found.mistake(("devices", "templates"), "write [devices.templates.NAME] for each")
        own = {}
        for name, values in templates.items():
            with found.gathering():
                own[name] = _template(found, name, values)
        settings.devices.templates = {**BUILT_IN, **own}


def _template(found: Found, name: str, values: Any) -> Template:
    at = ("devices", "templates", name)
    if not isinstance(values, dict):
        raise found.mistake(at, f"write [devices.templates.{name}], and publish and subscribe below it")
    found.names(at, ("publish", "subscribe", "topic"))
    filters = {}
    for key in ("publish", "subscribe"):
        value = values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise found.mistake(
                (*at, key), f'{key} has to be a list of topic filters, as ["pumps/%u/#"], not {value!r:.60}'
            )
        filters[key] = tuple(value)
    topic = values.get("topic", TOPIC)
    if not isinstance(topic, str) or "%u" not in topic or "#" in topic or "+" in topic:
        raise found.mistake((*at, "topic"), 'topic has to be a topic with %u, the device\'s name, as "pumps/%u"')
    template = Template(filters["publish"], filters["subscribe"], topic)
    try:
        template.rules(name)
    except ValueError as error:
        raise found.mistake(at, error) from None
    return template
