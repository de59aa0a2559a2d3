"""status_topic and status_every_s: where the state of all lines is published."""

from mqttlite.settings.found import Found

from ..settings.status import check_every, check_topic
from ..settings.whole import Config
from .values import top_value

KEYS = ("status_topic", "status_every_s")


def read(found: Found, config: Config) -> None:
    """Take them over."""
    with found.gathering():
        config.status_topic = top_value(found, "status_topic", str, config.status_topic, check_topic, '"gateway"')
    with found.gathering():
        config.status_every_s = top_value(found, "status_every_s", float, config.status_every_s, check_every, "5.0")
