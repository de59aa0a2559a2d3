"""[[serial]]: the ports with devices.

[[serial]]
path = "/dev/serial/by-id/usb-Silicon_Labs_CP2102_0001-if00-port0"
baud = 921600
"""

from mqttlite.settings.found import Found

from .errors import ConfigError
from .port import SerialPort
from .values import values_of
from .whole import Config

KEYS = ("serial",)


def read(found: Found, config: Config) -> None:
    """Take the tables over."""
    for number, table in enumerate(found.tables("serial", "each port")):
        at = ("serial", number)
        with found.gathering(*at):
            values = values_of(found, at, SerialPort, examples={"path": '"/dev/ttyUSB0"'})
            if "path" not in table:
                raise found.mistake(at, 'path is missing, as in path = "/dev/ttyUSB0"')
            if len(values) < len(table):  # it has been said what is wrong
                continue
            try:
                config.serial.append(SerialPort(**values))
            except ConfigError as error:
                raise found.mistake((*at, str(error).partition(" ")[0]), error) from None
