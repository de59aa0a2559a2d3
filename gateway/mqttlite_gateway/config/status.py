"""status_topic and status_every_s: where the state of all lines is published."""

from mqttlite.core.errors import MQTTError
from mqttlite.core.shown import shown
from mqttlite.core.text import check_topic_name, to_utf8
from mqttlite.settings.found import Found

from .errors import ConfigError
from .values import top_value
from .whole import Config

KEYS = ("status_topic", "status_every_s")

EVERY_S = (0.1, 86400.0)  # least and most


def read(found: Found, config: Config) -> None:
    """Take them over."""
    with found.gathering():
        config.status_topic = top_value(found, "status_topic", str, config.status_topic, check_topic, '"gateway"')
    with found.gathering():
        config.status_every_s = top_value(found, "status_every_s", float, config.status_every_s, check_every, "5.0")


def check_topic(topic: str) -> None:
    """ConfigError for a topic that nothing can be published on."""
    if not topic:
        return
    try:
        check_topic_name(to_utf8(topic, "status_topic"))
    except MQTTError as error:
        raise ConfigError(f"status_topic '{shown(topic)}': {error}") from error
    if topic[0] == "$":
        raise ConfigError(f"status_topic '{shown(topic)}': topics with $ are the broker's own")
    if not topic.isprintable() or topic != topic.strip():
        raise ConfigError(f"status_topic '{shown(topic)}': a blank at its end, or a sign that cannot be seen")


def check_every(every_s: float) -> None:
    """ConfigError for a time that makes no sense."""
    least, most = EVERY_S
    if not least <= every_s <= most:
        raise ConfigError(f"status_every_s {every_s:g}: must be {least:g} to {most:g} seconds")
