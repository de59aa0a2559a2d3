"""What has to go together, whoever has said it: the file, the command line, a program."""

from mqttlite.serial.ports import ports_there

from . import general, status, tls, upstream
from .errors import ConfigError
from .port import check_ports
from .whole import Config


def check(config: Config) -> None:
    """Raise ConfigError for what cannot work."""
    if not config.serial and not config.wanted and not config.buses and not config.is_bridge:
        there = ports_there()
        example = there[0] if there else "/dev/ttyUSB0"
        has = f"; there is {', '.join(there)}" if there else "; and none is plugged in now"
        raise ConfigError(f"no serial port; give at least one with --serial {example}, or in the file{has}")
    check_ports([port.path for port in config.serial] + [bus.path for bus in config.buses])
    if not config.is_bridge:
        upstream.check_url(config.upstream)
        if config.tls:
            tls.check(config.tls, config.upstream)
    general.check_console(config.console)
    status.check_topic(config.status_topic)
    status.check_every(config.status_every_s)
