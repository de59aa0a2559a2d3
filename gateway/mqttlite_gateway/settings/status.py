"""Where the state of all lines is published, and how often: what that may be."""

from mqttlite.core.errors import MQTTError
from mqttlite.core.shown import shown
from mqttlite.core.text import check_topic_name, to_utf8

from .errors import ConfigError

EVERY_S = (0.1, 86400.0)  # least and most


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
