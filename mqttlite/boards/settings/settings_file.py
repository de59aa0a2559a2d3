"""Settings of boards as people keep them, board.toml for one and fleet.csv for many, and as a board has them,
settings.json. Errors name file, line and key, and never show a secret.
"""

import csv
import json
import re
import secrets
import stat
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from mqttlite_board.settings import SettingError, check, encode
from mqttlite_board.settings_rules import KINDS

from ...broker.access.secret_files import write_secret
from ...client.arguments.checked_url import checked_url
from ...core.shown import shown
from ...settings.toml_file import read_toml, toml_text
from . import trusted_certificate
from .toml_lines import line_of

OWN_KEYS = ("counter", "trial")  # of the board, which nobody writes into a file
_NUMBERS = ("watchdog_s", "led", "sleep_s")


class SettingsFileError(SettingError):
    """A file of settings cannot be used: says where, why and what to do."""


def new_key() -> str:
    """A key for one device: 32 random bytes, in hex."""
    return secrets.token_hex(32)


def urls_of(values: Mapping[str, Any]) -> list[str]:
    """The URLs of a record, one or two, in the order in which the board tries them."""
    return values["url"] if isinstance(values["url"], list) else [values["url"]]


def check_on_host(values: dict[str, Any]) -> None:
    """As mqttlite_board.settings.check, and what a computer can tell better. Raises SettingError."""
    check(values)
    for key in OWN_KEYS:
        if key in values:
            raise SettingError(f"{key}: is the board's own and does not stand in a file")
    for url in urls_of(values):
        if url.startswith("mqtt") and "://discover" not in url:
            try:
                checked_url(url, ("mqtt", "mqtts"))
            except ValueError as error:
                raise SettingError(f"url: {error}") from None


def to_json(values: dict[str, Any]) -> bytes:
    """What a board has as settings.json. Raises SettingError."""
    check_on_host({key: value for key, value in values.items() if key not in OWN_KEYS})
    return encode(values)


def read_settings(path: Path, *, partly: bool = False) -> dict[str, Any]:
    """The record in a board.toml, checked; with `partly`, name and url may be missing (a fleet has them elsewhere).
    Raises SettingsFileError, with the line where there is one.
    """
    values = _parsed(path)
    try:
        _take_certificate(values, path.parent)
        check_on_host({"name": "x", "url": "serial:usb", **values} if partly else values)
    except SettingError as error:
        line = _line_of(path, str(error))
        raise SettingsFileError(f"{path}:{line}: {error}" if line else f"{path}: {error}") from None
    return values


def read_fleet(path: Path, common: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The records in a fleet.csv: columns are keys (`name`, `wifi.password`, `app.every_ms`), a row is a board, and an
    empty cell says nothing. `common` is what all of them have. Raises SettingsFileError, with the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsFileError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsFileError(f"{path}: is not UTF-8; save it as UTF-8") from None
    lines = text.splitlines()
    mark = ";" if lines and lines[0].count(";") > lines[0].count(",") else ","  # as a spreadsheet in half of Europe
    rows = csv.reader(lines, delimiter=mark)
    columns = [name.strip() for name in next(rows, [])]
    _check_columns(path, columns)
    found: list[dict[str, Any]] = []
    lines_of: dict[str, int] = {}
    for row in rows:
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        where = f"{path}:{rows.line_num}"
        if len(cells) > len(columns):
            raise SettingsFileError(f"{where}: has {len(cells)} cells, and there are {len(columns)} columns")
        values = deepcopy(common or {})
        try:
            for name, cell in zip(columns, cells, strict=False):
                if cell:
                    _put(values, name, cell)
            _take_certificate(values, path.parent)
            check_on_host(values)
        except SettingError as error:
            raise SettingsFileError(f"{where}: {error}") from None
        name = values["name"]
        if name in lines_of:
            raise SettingsFileError(f"{where}: name '{shown(name)}' stands in line {lines_of[name]}, too")
        lines_of[name] = rows.line_num
        found.append(values)
    if not found:
        raise SettingsFileError(
            f"{path}: there is no board in it; the first line names the keys, then one line a board"
        )
    return found


def exposed(path: Path, values: dict[str, Any]) -> str:
    """Words about a file with a secret in it that others may read, "" when all is well."""
    if not (values.get("password") or values.get("key") or values.get("wifi", {}).get("password")):
        return ""
    mode = path.stat().st_mode
    if not mode & (stat.S_IRGRP | stat.S_IROTH):
        return ""
    who = "everybody" if mode & stat.S_IROTH else "its group"
    return f"{path} holds a secret, and {who} on this machine can read it (mode {mode & 0o777:o}): chmod 600 {path}"


def write_toml(path: Path, values: dict[str, Any]) -> None:
    """Write a board.toml that `read_settings` reads as `values`; readable for its owner alone. Raises OSError."""
    plain = {key: value for key, value in values.items() if key not in OWN_KEYS}
    write_secret(path, toml_text(plain).encode())


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except ValueError as error:
        # "… (at line 3, column 9)": what an editor jumps to stands in front.
        found = re.search(r" \(at line (\d+), column \d+\)$", str(error))
        text = str(error)[: found.start()].removeprefix(f"{path}: ") if found else str(error)
        raise SettingsFileError(f"{path}:{found[1]}: {text}" if found else text) from None


def _take_certificate(values: dict[str, Any], folder: Path) -> None:
    """In the place of a file's name, the certificate in it."""
    if isinstance(values.get("ca"), str):
        values["ca"] = trusted_certificate.as_setting(values["ca"], folder)


def _line_of(path: Path, text: str) -> int:
    """The line that sets the key with which the text of an error begins, or what that key is in; 0: none does."""
    key = re.match(r"[\w.]+", text)
    return line_of(path.read_text(encoding="utf-8-sig"), key[0], 0) if key else 0


def _check_columns(path: Path, columns: list[str]) -> None:
    for number, name in enumerate(columns, 1):
        if not name:
            raise SettingsFileError(f"{path}:1: column {number} has no name")
        if columns.count(name) > 1:
            raise SettingsFileError(f"{path}:1: column '{shown(name)}' is there twice")
    if "name" not in columns:
        raise SettingsFileError(f"{path}:1: there is no column 'name'; each board needs a name of its own")


def _put(values: dict[str, Any], name: str, cell: str) -> None:
    """Set what a column is called to what a cell says."""
    *tables, key = name.split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise SettingError(f"{name}: '{table}' is no table")
    values[key] = _value(tables, key, cell)


def _value(tables: list[str], key: str, cell: str) -> Any:
    """A cell is a text; a number where the setting is one; a list where it is one; below `app` what it looks like."""
    if not tables and key in _NUMBERS:
        try:
            return json.loads(cell)
        except ValueError:
            if key == "led":
                return cell
            raise SettingError(f"{key}: must be {KINDS[key]}") from None
    if not tables and key == "url" and " " in cell:
        return cell.split()
    if tables == ["wifi"] and key == "address":
        return cell.split()
    if tables[:1] == ["app"]:
        try:
            return json.loads(cell)
        except ValueError:
            return cell
    return cell
