"""The settings of a board: one record; people edit it as board.toml, a board has it as settings.json. Both runtimes.

    values = load("/settings.json")     checked, with DEFAULTS for what it does not say
    values = read("/settings.json")     checked, as it stands there; what is changed and given to `save`
    save("/settings.json", values)      checked, then settings.new, flush, rename: a power cut leaves the old or the new

The file begins with a CRC-32 of the record, so that a bit that has flipped in a password is damage and no riddle. A
file without one, written by hand, is taken as it is. What each key may be stands in settings_rules.py, which a board
has in memory while it checks, and no longer. Secrets are never part of a message: what is printed goes through
`public`.
"""

import json
import os
import sys
from binascii import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SECRETS = ("password", "key")  # in the record, in `wifi` and in `trial`
DEFAULTS: "dict[str, Any]" = {
    "wifi": {},
    "username": None,
    "password": None,
    "ca": "",
    "store": "journal",
    "key": "",
    "watchdog_s": 0,
    "led": None,
    "sleep_s": 0,
    "time": "",
    "app": {},
}
_HEAD = b'{"crc":"%08x","settings":'
_HEAD_SIZE = len(_HEAD % 0)
_AGAIN = "; set the board up again (mqttlite board setup), or copy a whole one to it"


class SettingError(ValueError):
    """A setting is missing or cannot be right: the text names its key. Or the record is damaged."""


def check(values: "Any") -> None:
    """Raise SettingError, which names the key that is missing, unknown, of the wrong kind or out of its range."""
    from . import settings_rules

    try:
        settings_rules.check(values, SettingError)
    finally:
        if sys.implementation.name == "micropython":  # its memory is worth more than the milliseconds of loading it
            package = settings_rules.__name__.rsplit(".", 1)[0]
            del sys.modules[settings_rules.__name__]
            if package in sys.modules and hasattr(sys.modules[package], "settings_rules"):
                delattr(sys.modules[package], "settings_rules")


def encode(values: "dict[str, Any]") -> bytes:
    """The bytes of a settings.json."""
    body = json.dumps(values).encode()
    head: bytes = _HEAD % (crc32(body) & 0xFFFFFFFF)
    return head + body + b"}\n"


def decode(data: bytes) -> "dict[str, Any]":
    """The record in the bytes of a settings.json, not checked. SettingError: it is damaged, and what to do then."""
    body = data.strip()
    if body[:7] == _HEAD[:7]:
        head, body = body[:_HEAD_SIZE], body[_HEAD_SIZE:-1]
        if head != _HEAD % (crc32(body) & 0xFFFFFFFF):
            raise SettingError("the settings are damaged: their checksum is wrong" + _AGAIN)
    try:
        values = json.loads(body)
    except ValueError:  # what it says may quote a secret
        values = None
    if not isinstance(values, dict):
        raise SettingError("the settings are damaged: they are no JSON object" + _AGAIN)
    return values


def read(path: str) -> "dict[str, Any]":
    """The record in the file, checked. OSError: there is none.

    What has a checksum was checked by whoever wrote it. A board leaves it at that: the names in settings_rules.py would
    stay in its memory for ever.
    """
    with open(path, "rb") as file:
        data = file.read()
    values = decode(data)
    if data.strip()[:7] != _HEAD[:7] or sys.implementation.name != "micropython":
        check(values)
    return values


def load(path: str) -> "dict[str, Any]":
    """As `read`, and with DEFAULTS for what is not there; `topic` is boards/<name> then."""
    return full(read(path))


def full(values: "dict[str, Any]") -> "dict[str, Any]":
    """A copy of a checked record with DEFAULTS for what is not there."""
    found = dict(DEFAULTS)
    found["topic"] = "boards/" + values["name"]
    found.update(values)
    return found


def save(path: str, values: "dict[str, Any]") -> None:
    """Write a record that `check` lets pass."""
    check(values)
    data = encode(values)
    new = (path[:-5] if path.endswith(".json") else path) + ".new"
    with open(new, "wb") as file:
        file.write(data)
        file.flush()
        if hasattr(os, "fsync"):  # on a board, flush has done it
            os.fsync(file.fileno())
    os.rename(new, path)


def public(values: "dict[str, Any]") -> "dict[str, Any]":
    """A copy that may be printed: of a secret only whether there is one."""
    shown: "dict[str, Any]" = {}
    for key, value in values.items():
        if key in SECRETS:
            value = "***" if value else value
        elif key != "app" and isinstance(value, dict):
            value = public(value)
        shown[key] = value
    return shown
