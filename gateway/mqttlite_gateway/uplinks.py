"""Makes an uplink of each [[upstream]]: which module it is stands here, and is loaded when it is needed."""

from importlib import import_module
from typing import TYPE_CHECKING

from .settings.errors import ConfigError
from .uplink import Uplink

if TYPE_CHECKING:
    from mqttlite.broker import Broker

    from .settings.upstream import UpstreamSettings

HOMES = {
    "mqtt": ("bridge.uplink", "BridgeUplink"),
    "amqp": ("sinks.uplink", "SinkUplink"),
    "postgres": ("sinks.uplink", "SinkUplink"),
}


def uplink_of(settings: "UpstreamSettings", broker: "Broker") -> Uplink:
    """Not started yet. ConfigError: what it needs is not installed, or its table has what it does not know."""
    module, name = HOMES[settings.kind]
    try:
        found: Uplink = getattr(import_module(f"{__package__}.{module}"), name)(settings, broker)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"[[upstream]] {settings.name}: {error}") from error
    return found
