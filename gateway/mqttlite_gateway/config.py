"""What the gateway is told: by its command line, or by a TOML file for the same. Errors name the file and the key, and
never show a password.
"""

import difflib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mqttlite.client.checked_url import NETWORK, checked_url
from mqttlite.client.toml_file import read_toml
from mqttlite.client.url import Url
from mqttlite.core.errors import MQTTError
from mqttlite.core.shown import shown
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
            raise ConfigError(f"path '{shown(self.path)}': must be a device such as /dev/ttyUSB0")
        if self.path != self.path.strip() or not self.path.isprintable():
            raise ConfigError(f"path '{shown(self.path)}': a blank at its end, or a sign that cannot be seen")
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
            if key in values:
                raise ConfigError(f"{text}: {key} is given twice")
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

    `upstream`: URL of the broker, mqtt://, mqtts://, ws://, wss:// or unix://; user name and password in it are the
    gateway's own, for its status.
    `status_topic`: where the state of each line is published, "" for nowhere; every `status_every_s` seconds.
    `console`: path of the socket that `mqttlite console` looks for, "" for none, "auto" for a name of this process's in
    $XDG_RUNTIME_DIR/mqttlite, or /run/mqttlite.
    `tls`: what mqttlite.Client takes about TLS, by the same names: ca, certificate, key_file, key_password, alpn,
    server_name, fingerprint, insecure.
    `provision`: settings for boards that wait for some (provision.py), None for none.
    """

    serial: list[SerialPort] = field(default_factory=list)
    upstream: str = DEFAULT_UPSTREAM
    status_topic: str = ""
    status_every_s: float = 5.0
    console: str = "auto"
    tls: "dict[str, Any]" = field(default_factory=dict)
    provision: "dict[str, Any] | None" = None

    def check(self) -> None:
        """Raise ConfigError for what cannot work."""
        if not self.serial:
            raise ConfigError("no serial port; give at least one with --serial /dev/ttyUSB0, or in the file")
        there: dict[str, str] = {}
        for path in (port.path for port in self.serial):
            real = os.path.realpath(path)
            if real in there:
                twice = f"{path} is named twice" if there[real] == path else f"{path} and {there[real]} are one port"
                raise ConfigError(f"serial: {twice}")
            there[real] = path
        _check_upstream(self.upstream)
        if self.tls:
            _check_tls(self.tls, self.upstream)
        if self.console not in ("", "auto") and not (self.console[0] == "/" and len(os.fsencode(self.console)) < 108):
            raise ConfigError(
                f"console '{shown(self.console)}': must be a path of at most 107 bytes that begins with /"
            )
        if self.status_topic:
            try:
                check_topic_name(to_utf8(self.status_topic, "status_topic"))
            except MQTTError as error:
                raise ConfigError(f"status_topic '{shown(self.status_topic)}': {error}") from error
            if self.status_topic[0] == "$":
                raise ConfigError(f"status_topic '{shown(self.status_topic)}': topics with $ are the broker's own")
            if not self.status_topic.isprintable() or self.status_topic != self.status_topic.strip():
                what = "a blank at its end, or a sign that cannot be seen"
                raise ConfigError(f"status_topic '{shown(self.status_topic)}': {what}")
        least, most = STATUS_EVERY_S
        if not least <= self.status_every_s <= most:
            raise ConfigError(f"status_every_s {self.status_every_s:g}: must be {least:g} to {most:g} seconds")


def _check_upstream(text: str) -> None:
    """Raise ConfigError for a URL that is no broker's."""
    scheme, _, rest = text.partition("://")
    if scheme in ("mqtt", "mqtts") and rest.rpartition("@")[2].partition("/")[2].strip("/ "):
        raise ConfigError(
            "upstream: what stands behind host and port means nothing to a broker; write " + scheme + "://host:port"
        )
    try:
        checked_url(text, (*NETWORK, "unix"))
    except ValueError as error:
        raise ConfigError(f"upstream: {shown(str(error), 300)}") from None


def _check_tls(table: dict[str, Any], upstream: str) -> None:
    """Raise ConfigError for a table [tls] that does not go together, or not with the broker's URL."""
    from mqttlite.client.tls_options import TlsOptions  # only who has such a table loads it

    known = [each.name for each in fields(TlsOptions) if each.name != "tls"]  # no file holds an SSLContext
    for key in table:
        if key not in known:
            raise ConfigError(f"[tls]: unknown key '{shown(key)}'{_meant(key, known)}")
    try:
        options = TlsOptions(**table)
        options.check_scheme(Url(upstream))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"[tls]: {error}") from None


def load(path: Path) -> Config:
    """Read a TOML file: the fields of Config, with one [[serial]] table for each port."""
    try:
        data = read_toml(path)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    ports = data.pop("serial", [])
    if not isinstance(ports, list) or not all(isinstance(port, dict) for port in ports):
        raise ConfigError(f"{path}: serial: write [[serial]] for each port")
    provision = data.pop("provision", None)
    tls = data.pop("tls", {})
    if not isinstance(tls, dict):
        raise ConfigError(f"{path}: tls: write [tls], and a line NAME = VALUE for each")
    known = [field.name for field in fields(Config) if field.name not in ("serial", "provision", "tls")]
    config = Config(**_checked(data, Config, known, str(path)), tls=tls)
    if provision is not None:
        from .lines.provision import check_provision

        try:
            check_provision(provision)
        except ValueError as error:
            raise ConfigError(f"{path}: [provision]: {error}") from None
        config.provision = provision
    for number, port in enumerate(ports, 1):
        where = f"{path}: [[serial]] number {number}"
        values = _checked(port, SerialPort, [field.name for field in fields(SerialPort)], where)
        if "path" not in values:
            raise ConfigError(f"{where}: path is missing")
        try:
            config.serial.append(SerialPort(**values))
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
    return config


def exposed(path: Path, config: Config) -> str:
    """Words about a file with a password in it that others may read, "" when all is well."""
    try:
        if Url(config.upstream).password is None and not has_secret(config.provision):
            return ""
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return ""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")  # systemd gives out a copy that is nobody else's
    if not mode & (stat.S_IRGRP | stat.S_IROTH) or (credentials and path.resolve().is_relative_to(credentials)):
        return ""
    who = "everybody" if mode & stat.S_IROTH else "its group"
    return (
        f"{path} contains a password, and {who} on this machine can read it (mode {mode & 0o777:o}): chmod 600 {path}"
    )


def has_secret(provision: "dict[str, Any] | None") -> bool:
    """Whether the settings for boards have a password."""
    return bool(provision and (provision.get("password") or provision.get("wifi", {}).get("password")))


_WANTED = {
    str: 'a text in quotes, as in {} = "{}"',
    int: "a whole number, as in {} = {}",
    float: "a number, as in {} = {}",
    bool: "true or false, as in {} = {}",
}
_EXAMPLES = {"path": "/dev/ttyUSB0", "upstream": DEFAULT_UPSTREAM, "status_topic": "gateway", "rtscts": "false"}


def _checked(values: dict[str, Any], kind: type, known: Iterable[str], where: str) -> dict[str, Any]:
    """`values` if each is one of the `known` fields of `kind` and of its type."""
    types = {field.name: field.type for field in fields(kind)}
    defaults = {field.name: field.default for field in fields(kind)}
    for key, value in values.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown key '{shown(key)}'{_meant(key, known)}")
        wanted = types[key]
        fits = (
            isinstance(value, int | float) and not isinstance(value, bool) if wanted is float else type(value) is wanted
        )
        if not fits:  # what it is, is not shown: it may be meant to be a secret
            assert isinstance(wanted, type)
            example = _WANTED[wanted].format(key, _EXAMPLES.get(key, defaults[key]))
            raise ConfigError(f"{where}: {key} must be {example}, and is {_TYPES.get(type(value), 'something else')}")
    return values


_TYPES = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
}


def _meant(key: str, known: Iterable[str]) -> str:
    elsewhere = "; it belongs below a [[serial]]" if key in {field.name for field in fields(SerialPort)} else ""
    close = difflib.get_close_matches(key, list(known), 1)
    guess = f"; is '{close[0]}' meant?" if close else ""
    return elsewhere or f"{guess or ';'} There are {', '.join(sorted(known))}".replace("; There", "; there")
