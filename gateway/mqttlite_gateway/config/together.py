"""What has to go together, whoever has said it: the file, the command line, a program."""

from . import general, status, tls, upstream
from .errors import ConfigError
from .port import check_ports
from .whole import Config


def check(config: Config) -> None:
    """Raise ConfigError for what cannot work."""
    if not config.serial and not config.wanted and not config.buses and not config.is_bridge:
        raise ConfigError("no serial port; give at least one with --serial /dev/ttyUSB0, or in the file")
    check_ports([port.path for port in config.serial] + [bus.path for bus in config.buses])
    if not config.is_bridge:
        upstream.check_url(config.upstream)
        if config.tls:
            tls.check(config.tls, config.upstream)
    general.check_console(config.console)
    status.check_topic(config.status_topic)
    status.check_every(config.status_every_s)
