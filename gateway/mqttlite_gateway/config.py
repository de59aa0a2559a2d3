"""What the gateway is told: by its command line, or by a TOML file for the same. Errors name the file and the key."""

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mqttlite.client.url import Url

DEFAULT_UPSTREAM = "mqtt://localhost:1883"


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
        url = Url("serial://" + text)
        values: dict[str, Any] = {"path": url.path}
        for key, value in url.query.items():
            if key == "rtscts":
                values[key] = value not in ("0", "false", "no")
            elif key in ("baud", "frame_size", "window"):
                try:
                    values[key] = int(value)
                except ValueError:
                    raise ConfigError(f"{text}: {key} is not a number") from None
            else:
                raise ConfigError(f"{text}: unknown option '{key}'; there are baud, frame_size, window, rtscts")
        return cls(**values)


@dataclass
class Config:
    """Everything. `upstream`: URL of the broker, mqtt:// or unix://. `status_topic`: where the state of each line is
    published, "" for nowhere; every `status_every_s` seconds."""

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
            scheme = Url(self.upstream).scheme
        except ValueError as error:
            raise ConfigError(f"upstream: {error}") from error
        if scheme not in ("mqtt", "unix"):
            raise ConfigError(f"upstream: '{scheme}' is not a known scheme; use mqtt:// or unix://")
        if "#" in self.status_topic or "+" in self.status_topic:
            raise ConfigError("status_topic may not contain # or +")


def load(path: Path) -> Config:
    """Read a TOML file: the fields of Config, with one [[serial]] table for each port."""
    try:
        with path.open("rb") as file:
            data = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    ports = data.pop("serial", [])
    if not isinstance(ports, list):
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
