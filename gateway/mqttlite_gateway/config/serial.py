"""[[serial]]: the ports with devices.

[[serial]]
path = "/dev/serial/by-id/usb-Silicon_Labs_CP2102_0001-if00-port0"
baud = 921600

[[serial]]
usb = "10c4:ea60"            # each adapter of this kind, as it is plugged in; or the one with serial = "0001"

[[serial]]
pattern = "/dev/ttyACM*"
"""

from dataclasses import dataclass

from mqttlite.settings.found import Found

from ..settings.errors import ConfigError
from ..settings.port import PortRule, SerialPort, is_pattern
from ..settings.whole import Config
from .values import values_of

KEYS = ("serial",)

_WHICH = ("path", "usb", "serial", "pattern")
_EXAMPLES = {
    "path": '"/dev/ttyUSB0"',
    "usb": '"10c4:ea60"',
    "serial": '"0001"',
    "pattern": '"/dev/ttyUSB*"',
    "user": '"greenhouse-7"',
}


@dataclass
class _Table(SerialPort):
    """All keys of a table."""

    usb: str = ""
    serial: str = ""
    pattern: str = ""


def read(found: Found, config: Config) -> None:
    """Take the tables over."""
    for number, table in enumerate(found.tables("serial", "each port")):
        at = ("serial", number)
        with found.gathering(*at):
            before = found.mistakes
            values = values_of(found, at, _Table, examples=_EXAMPLES)
            which = [name for name in _WHICH if name in table]
            if not which:
                raise found.mistake(at, 'path is missing, as in path = "/dev/ttyUSB0" (or usb, serial, pattern)')
            if "path" in which and which[1:]:
                raise found.mistake((*at, which[1]), f"path says which port it is: leave {which[1]} out, or path")
            for key in ("user", "trust"):
                if key in table and not config.is_bridge:
                    raise found.mistake(
                        (*at, key), f"{key} is for the broker of bridge mode, which asks who a device is"
                    )
            if found.mistakes > before:  # it has been said what is wrong
                continue
            try:
                if "path" in which and is_pattern(values["path"]):
                    config.wanted.append(PortRule(pattern=values.pop("path"), options=values))
                elif "path" in which:
                    config.serial.append(SerialPort(**values))
                else:
                    rule = {name: values.pop(name) for name in which}
                    config.wanted.append(PortRule(**rule, options=values))
            except ConfigError as error:
                raise found.mistake((*at, str(error).partition(" ")[0]), error) from None
