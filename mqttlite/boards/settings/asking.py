"""Questions to the person at the terminal: what a board is called, how it reaches the broker. Passwords do not show."""

import getpass
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mqttlite_board.settings import SettingError

from .trusted_certificate import as_setting


class NotAskedError(ValueError):
    """Something is not known, and nobody is there to be asked; says what and how to say it."""


class Asker:
    """Asks on standard error, so that standard output stays clean. `may_ask`: somebody is there."""

    def __init__(self, *, may_ask: bool | None = None) -> None:
        self.may_ask = sys.stdin is not None and sys.stdin.isatty() if may_ask is None else may_ask

    def text(self, question: str, default: str = "", check: Callable[[str], str] | None = None) -> str:
        """An answer; an empty one is the default. `check` says what is wrong with it, "" for nothing."""
        while True:
            print(f"{question}{f' [{default}]' if default else ''}: ", end="", file=sys.stderr, flush=True)
            answer = self._line() or default
            wrong = check(answer) if check else ("" if answer else "an answer is needed")
            if not wrong:
                return answer
            print(f"    {wrong}", file=sys.stderr)

    def secret(self, question: str) -> str:
        """An answer that does not show; may be empty."""
        return getpass.getpass(f"{question}: ", sys.stderr)

    def choice(self, question: str, choices: list[tuple[str, str]]) -> str:
        """One of `choices` (value, words), by its number; the first is the default."""
        for number, (_, words) in enumerate(choices, 1):
            print(f"    {number}  {words}", file=sys.stderr)
        numbers = [str(number) for number in range(1, len(choices) + 1)]
        answer = self.text(question, "1", lambda text: "" if text in numbers else f"a number, 1 to {len(choices)}")
        return choices[int(answer) - 1][0]

    def is_yes(self, question: str, default: bool = True) -> bool:
        """Yes or no."""
        words = self.text(
            f"{question} (y/n)", "y" if default else "n", lambda text: "" if text[:1] in "yYnN" else "y or n"
        )
        return words[0] in "yY"

    def _line(self) -> str:
        line = sys.stdin.readline()
        if not line:
            raise NotAskedError("the input has ended before all was answered")
        return line.strip()


def settings(asker: Asker, known: dict[str, Any], mac: str, broker: str) -> tuple[dict[str, Any], str]:
    """A record of settings, `known` and what is asked; and the broker's URL as this computer reaches it."""
    values = dict(known)
    missing = [key for key in ("name", "url") if key not in values]
    if missing and not asker.may_ask:
        raise NotAskedError(
            f"{' and '.join(missing)} of the board {'is' if len(missing) == 1 else 'are'} not known: give them in a "
            "file, --settings board.toml, or run this at a terminal, where it asks"
        )
    if "name" in missing:
        values["name"] = asker.text("name of the board", default_name(mac), _name_problem)
    if "url" in missing:
        way = asker.choice(
            "how does it reach the broker?",
            [
                ("serial", "over this USB cable, through this computer (or a Raspberry Pi)"),
                ("wifi", "over Wi-Fi"),
            ],
        )
        if way == "serial":
            values["url"] = "serial:usb"
            broker = asker.text("the broker, as this computer reaches it", broker, _url_problem)
        else:
            _ask_wifi(asker, values)
            broker = values["url"]
    return values, broker


def _ask_wifi(asker: Asker, values: dict[str, Any]) -> None:
    if not values.get("wifi"):
        name = asker.text("name of the Wi-Fi (2.4 GHz)")
        values["wifi"] = {"name": name, "password": asker.secret(f"password of '{name}'")}
    values["url"] = asker.text("the broker, as the board reaches it", f"mqtt://{own_address()}:1883", _url_problem)
    if values["url"].startswith("mqtts:") and not values.get("ca"):
        file = asker.text("file with the certificate of the broker, or of its CA", "ca.pem", _certificate_problem)
        values["ca"] = as_setting(file, Path())
    if "username" not in values:
        user = asker.text("user name at the broker (empty: none)", "", lambda _: "")
        if user:
            values["username"] = user
            values["password"] = asker.secret(f"password of '{user}' at the broker")


def default_name(mac: str) -> str:
    """A name that no other board has."""
    return "board-" + mac.replace(":", "")[-6:]


def own_address() -> str:
    """This computer's address as others on its network see it; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "192.168.1.10"


def _name_problem(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,32}", name):
        return "1 to 32 letters, digits, hyphens, dots and underscores: it becomes a part of topics"
    return ""


def _certificate_problem(file: str) -> str:
    try:
        return "" if as_setting(file, Path()) else "a file"
    except SettingError as error:
        return str(error)


def _url_problem(url: str) -> str:
    return "" if re.fullmatch(r"mqtts?://[^\s/]+", url) else "as mqtt://192.168.1.10:1883"
