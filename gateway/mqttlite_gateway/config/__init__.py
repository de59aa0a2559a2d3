"""The file that a gateway is told by: gateway.toml. Errors name the file, the line and the key, and never show a
password.

A module for each table, or for what belongs together: `KEYS`, the names at the top of the file that it takes, and
`read(found, config)`, which takes them over and says of every mistake where it is and what is expected. Who adds one
adds a module, a field of Config (settings/whole.py, which all of them fill), and the module to TABLES.

general     mode, console                          upstream    upstream, [[upstream]]
status      status_topic, status_every_s           serial      [[serial]]
tls         [tls] of forward mode                  inside      the tables of broker.toml, in bridge mode
page, mdns, home_assistant, bus, provision         the tables of these names
values      of which type a value has to be        secrets     whether others can read a password
plain       passwords that anybody on the network can read
"""

from pathlib import Path

from mqttlite.settings.found import Found, Mistakes

from ..settings.errors import ConfigError
from ..settings.general import BRIDGE, FORWARD
from ..settings.port import SerialPort
from ..settings.whole import DEFAULT_UPSTREAM, Config
from . import bus, general, home_assistant, inside, mdns, page, provision, serial, status, tls, upstream
from .secrets import exposed

__all__ = [
    "BRIDGE",
    "DEFAULT_UPSTREAM",
    "FORWARD",
    "Config",
    "ConfigError",
    "SerialPort",
    "exposed",
    "load",
]

TABLES = (general, upstream, serial, status, provision, inside, page, mdns, home_assistant, bus)


def load(path: Path) -> Config:
    """Read a TOML file. ConfigError: what is wrong with it, all of it."""
    try:
        found = Found(path)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    config = Config(found=found)
    known = [key for each in TABLES for key in each.KEYS]
    for name in found.data:
        with found.gathering(name):
            if name not in known and name in SerialPort.__match_args__:
                raise found.mistake((name,), f"there is no key '{name}' here; it belongs below a [[serial]]")
            found.name((), name, known)
    for each in TABLES:
        with found.gathering():
            each.read(found, config)
    if not config.is_bridge:
        tls.read(found, config)
    try:
        found.finish()
    except Mistakes as mistakes:
        raise ConfigError(str(mistakes), mistakes.lines) from None
    return config
