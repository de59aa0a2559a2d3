"""[[bus]]: two-wire RS-485, which many devices share: each is asked in turn.

[[bus]]
path = "/dev/serial/by-id/usb-FTDI_USB-RS485-if00-port0"
addresses = "1-32"           # or "1-8, 20", or [1, 2, 20]
frames = 4                   # of an answer at most
"""

from mqttlite.settings.found import Found

from ..settings.bus_port import BusPort
from ..settings.errors import ConfigError
from ..settings.whole import Config
from .values import values_of

KEYS = ("bus",)

_EXAMPLES = {"path": '"/dev/ttyUSB0"', "addresses": '"1-32"'}


def read(found: Found, config: Config) -> None:
    """Take the tables over."""
    for number, table in enumerate(found.tables("bus", "each line that devices share")):
        at = ("bus", number)
        with found.gathering(*at):
            values = values_of(found, at, BusPort, but=("asked", "named"), examples=_EXAMPLES)
            if "path" not in table:
                raise found.mistake(at, 'path is missing, as in path = "/dev/ttyUSB0"')
            if len(values) < len(table):  # it has been said what is wrong
                continue
            try:
                config.buses.append(BusPort(**values))
            except ConfigError as error:
                raise found.mistake((*at, str(error).partition(" ")[0]), error) from None
