"""What the gateway is told: by its command line, or by a TOML file for the same. Errors name the file and the key."""

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mqttlite.client.url import Url
from mqttlite.core.errors import MQTTError
from mqttlite.core.text import check_topic_name, to_utf8

DEFAULT_UPSTREAM = "mqtt://localhost:1883"


STATUS_EVERY_S = (0.1, 86400.0)  # least and most

_SWITCH = {"0": False, "1": True}


class ConfigError(ValueError):
    """The configuration cannot be used; says where and why."""


@dataclass
class SerialPort:
    """One serial line.

    `path`: device, best one of /dev/serial/by-id/, which keeps its name. `baud`: bit/s, as on the board.
    `frame_size`: bytes of the largest frame, 32 to 255. `window`: frames in flight, 1 to 16. `rtscts`: hardware flow
    control.
    """

    path: str
    baud: int = 115200
    frame_size: int = 128
    window: int = 8
    rtscts: bool = False

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise ConfigError(f"path '{self.path}': must be a device such as /dev/ttyUSB0")
        if not 300 <= self.baud <= 4000000:
            raise ConfigError(f"baud {self.baud}: must be 300 to 4000000")
        if not 32 <= self.frame_size <= 255:
            raise ConfigError(f"frame_size {self.frame_size}: must be 32 to 255")
        if not 1 <= self.window <= 16:
            raise ConfigError(f"window {self.window}: must be 1 to 16")

    @classmethod
    def parse(cls, text: str) -> "SerialPort":
        """A port as on the command line: a path, with options behind a question mark:
        /dev/ttyUSB0?baud=921600&window=16.
        """
        path, _, query = text.partition("?")
        values: dict[str, Any] = {"path": path}
        for pair in query.split("&") if query else ():
            key, _, value = pair.partition("=")
            if key not in ("baud", "frame_size", "window", "rtscts"):
                raise ConfigError(f"{text}: unknown option '{key}'; there are baud, frame_size, window, rtscts")
            try:
                values[key] = _SWITCH[value] if key == "rtscts" else int(value)
            except KeyError:
                raise ConfigError(f"{text}: rtscts is 0 or 1") from None
            except ValueError:
                raise ConfigError(f"{text}: {key} is not a number") from None
        try:
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(f"{text}: {error}") from error


@dataclass
class Config:
    """Everything.

    `upstream`: URL of the broker, mqtt:// or unix://; user name and password in it are the gateway's own, for its
    status. `status_topic`: where the state of each line is published, "" for nowhere; every `status_every_s` seconds.
    """

    serial: list[SerialPort] = field(default_factory=list)
    upstream: str = DEFAULT_UPSTREAM
    status_topic: str = ""
    status_every_s: float = 5.0

    def check(self) -> None:
        """Raise ConfigError for what cannot work."""
        if not self.serial:
            raise ConfigError("no serial port; give at least one with --serial /dev/ttyUSB0, or in the file")
        paths = [port.path for port in self.serial]
        for path in paths:
            if paths.count(path) > 1:
                raise ConfigError(f"{path} is named twice")
        try:
            url = Url(self.upstream)
            url.host.encode("idna")
        except ValueError as error:
            raise ConfigError(f"upstream: {error}") from error
        if url.scheme not in ("mqtt", "unix"):
            raise ConfigError(f"upstream: '{url.scheme}' is not a known scheme; use mqtt:// or unix://")
        if url.scheme == "unix" and not url.path:
            raise ConfigError("upstream: the path of the socket is missing, as in unix:///run/broker.sock")
        if self.status_topic:
            try:
                check_topic_name(to_utf8(self.status_topic, "status_topic"))
            except MQTTError as error:
                raise ConfigError(f"status_topic '{self.status_topic}': {error}") from error
        least, most = STATUS_EVERY_S
        if not least <= self.status_every_s <= most:
            raise ConfigError(f"status_every_s {self.status_every_s:g}: must be {least:g} to {most:g} seconds")


def load(path: Path) -> Config:
    """Read a TOML file: the fields of Config, with one [[serial]] table for each port."""
    try:
        with path.open("rb") as file:
            data = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise ConfigError(f"{path}: {error}") from error
    ports = data.pop("serial", [])
    if not isinstance(ports, list) or not all(isinstance(port, dict) for port in ports):
        raise ConfigError(f"{path}: serial: write [[serial]] for each port")
    config = Config(**_checked(data, Config, str(path)))
    for number, port in enumerate(ports, 1):
        where = f"{path}: [[serial]] number {number}"
        values = _checked(port, SerialPort, where)
        if "path" not in values:
            raise ConfigError(f"{where}: path is missing")
        try:
            config.serial.append(SerialPort(**values))
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
    return config


def _checked(values: dict[str, Any], kind: type, where: str) -> dict[str, Any]:
    """`values` if each is a field of `kind` and of its type."""
    known = {field.name: field.type for field in fields(kind)}
    for key, value in values.items():
        if key not in known or key == "serial":
            raise ConfigError(f"{where}: unknown key '{key}'; there are {', '.join(sorted(known))}")
        wanted = known[key]
        fits = (
            isinstance(value, int | float) and not isinstance(value, bool) if wanted is float else type(value) is wanted
        )
        if not fits:
            raise ConfigError(f"{where}: {key} = {value!r} is not of type {getattr(wanted, '__name__', wanted)}")
    return values
