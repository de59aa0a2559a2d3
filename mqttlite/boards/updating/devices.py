"""The devices that this computer knows: their keys, which sign updates and rotations, and what else is worth knowing.

A TOML file, ~/.config/mqttlite/devices.toml, that its owner alone may read. Written beside the old one and renamed,
under a lock, so that two commands at once lose nothing.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ...broker.access.secret_files import write_secret
from ...core.shown import shown
from ...settings.toml_file import read_toml, toml_value


class DevicesError(ValueError):
    """The file of devices cannot be used, or lacks a device; says why and what to do."""


@dataclass(frozen=True)
class Device:
    """`key`: the device's key, hex; `topic`: its topics begin with it; `board`: as in hardware/boards; `url`: how it
    reaches the broker; `image`: the MicroPython image that was flashed; `version`: what runs on it; `username`: at the
    broker; `counter`: of the last command that was signed for it, each of which has a larger one; `next_key`: one that
    it was given, and has not confirmed.
    """

    name: str
    key: str = field(default="", repr=False)
    topic: str = ""
    board: str = ""
    url: str = ""
    image: str = ""
    version: str = ""
    username: str = ""
    counter: int = 0
    next_key: str = field(default="", repr=False)

    @property
    def topics(self) -> str:
        """Its topics begin with this."""
        return self.topic or f"boards/{self.name}"

    def key_bytes(self) -> bytes:
        """The key. Raises DevicesError when none is known."""
        if not self.key:
            raise DevicesError(f"no key of device '{shown(self.name)}' is known: set it up again, with a key")
        return bytes.fromhex(self.key)


def configuration() -> Path:
    """The folder of what this user has for mqttlite: $XDG_CONFIG_HOME/mqttlite, by default below ~/.config."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "mqttlite"


def default_path() -> Path:
    """The file devices.toml in there."""
    return configuration() / "devices.toml"


class Devices:
    """The devices in the file `path`, read anew by each method; a file that is not there holds none."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_path()

    def names(self) -> list[str]:
        """All of them, sorted."""
        return sorted(self._read())

    def get(self, name: str) -> Device:
        """A device by its name. Raises DevicesError when there is none."""
        known = self._read()
        if name not in known:
            there = ", ".join(shown(other) for other in sorted(known)[:9]) or "none"
            raise DevicesError(
                f"{self.path} has no device '{shown(name)}'; there is {there} (mqttlite flash and mqttlite board setup "
                "enter those that they set up)"
            )
        return known[name]

    def find(self, name: str) -> Device | None:
        """As `get`, None when there is none."""
        return self._read().get(name)

    def put(self, device: Device) -> None:
        """Add a device, or replace the one of its name. Raises DevicesError, OSError."""
        if not device.name:
            raise DevicesError("a device needs a name")
        with self._locked():
            known = self._read()
            known[device.name] = device
            self._write(known)

    def next_counter(self, name: str, now_s: int) -> int:
        """A number for the next command to a device: larger than every one before, on other computers, too, as long as
        their clocks are right; it is kept. Raises DevicesError when there is no such device.
        """
        with self._locked():
            known = self._read()
            if name not in known:
                return self.get(name).counter  # raises
            device = known[name]
            counter = max(device.counter + 1, now_s)
            known[name] = Device(**{**_values(device), "counter": counter})
            self._write(known)
        return counter

    def remove(self, name: str) -> None:
        """Forget a device; one that is not there is none either."""
        with self._locked():
            known = self._read()
            if known.pop(name, None):
                self._write(known)

    def _read(self) -> dict[str, Device]:
        try:
            mode = self.path.stat().st_mode
        except FileNotFoundError:
            return {}
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise DevicesError(
                f"{self.path} holds keys of devices, and others on this machine can read or change it (mode "
                f"{stat.S_IMODE(mode):o}): chmod 600 {self.path}"
            )
        try:
            data = read_toml(self.path)
        except ValueError as error:
            raise DevicesError(str(error)) from None
        return {name: self._device(name, values) for name, values in data.items()}

    def _device(self, name: str, values: Any) -> Device:
        """One table of the file; an unknown key may be of a newer version, and would be lost."""
        if not isinstance(values, dict):
            raise DevicesError(f'{self.path}: {shown(name)}: must be a table, ["{shown(name)}"]')
        kinds = {each.name: each.type for each in fields(Device) if each.name != "name"}
        for key, value in values.items():
            if key not in kinds:
                raise DevicesError(
                    f"{self.path}: [{shown(name)}]: unknown key '{shown(key)}'; there is {', '.join(kinds)}"
                )
            if type(value) is not kinds[key]:
                raise DevicesError(f"{self.path}: [{shown(name)}]: {key} must be {_WORDS[kinds[key]]}")
        return Device(name, **values)

    def _write(self, known: dict[str, Device]) -> None:
        lines = ["# Devices that this computer has set up. Their keys are secrets: this file is its owner's alone."]
        for name in sorted(known):
            lines += ["", f"[{toml_value(name)}]"]
            values = {key: value for key, value in _values(known[name]).items() if value and key != "name"}
            lines += [f"{key} = {toml_value(value)}" for key, value in values.items()]
        write_secret(self.path, ("\n".join(lines) + "\n").encode())

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.path.with_name(self.path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


_WORDS: dict[Any, str] = {str: "a text", int: "a whole number"}


def _values(device: Device) -> dict[str, Any]:
    return {each.name: getattr(device, each.name) for each in fields(Device)}
