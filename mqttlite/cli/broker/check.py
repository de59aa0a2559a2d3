"""`mqttlite broker --test-config`: all that a start would look at, but for ports and the store's content."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from ...broker.access.access import Access
from ...broker.access.users import Users
from ...broker.config import Mistakes, Settings
from ...broker.config.doubts import doubts
from ...broker.config.ledger import make_ledger
from ...broker.config.make_access import make_access
from ...broker.connections.doors import check_listener
from ...broker.listening.listener import Listener
from ...broker.reloading import strangers
from ...core.errors import MQTTError
from ..streams import say

_T = TypeVar("_T")

MEMORY = "memory"  # a gateway says so instead of the path of a store


class Trial:
    """Tries one thing after the other. `wrong`: what was wrong, a line for each."""

    def __init__(self) -> None:
        self.wrong: list[str] = []

    def tried(self, what: Callable[[], _T]) -> _T | None:
        """What it gives; None: it went wrong."""
        try:
            return what()
        except Mistakes as mistakes:
            self.wrong.extend(mistakes.lines)
        except (MQTTError, OSError, ValueError) as error:
            self.wrong.append(str(error))
        return None

    def broker(self, settings: Settings) -> tuple[Access | None, list[Listener]]:
        """Whether a broker can be made of that."""
        tried = self.tried
        listeners = tried(settings.make_listeners) or []
        tried(settings.make_limits)
        before = len(self.wrong)
        access = tried(lambda: make_access(settings))
        if len(self.wrong) == before:
            from ...broker.access.access import guard_of

            who = strangers(guard_of(access, None), False)
            for number, listener in enumerate(listeners):
                tried(partial(_check_listener, settings, number, listener, who))
        tried(partial(_check_store, settings))
        tried(partial(make_ledger, settings, None if settings.store == MEMORY else settings.store))
        return access, listeners

    def end(self, name: str, program: str) -> int:
        """Say all of it; the exit code. `name`: of what was looked at."""
        for line in self.wrong:
            say(line)
        if self.wrong:
            count = len(self.wrong)
            say(f"{name}: {count} mistake{'s' if count != 1 else ''}; the {program} would not start with it")
        return 1 if self.wrong else 0


def check(read: Callable[[], Settings], name: str) -> int:
    """Say all that is wrong, a line for each; the exit code. `name`: of the file, for what is said."""
    trial = Trial()
    settings = trial.tried(read)
    access, listeners = trial.broker(settings) if settings is not None else (None, [])
    if trial.end(name, "broker") or settings is None:
        return 1
    for doubt in doubts(settings, access):
        say(f"doubtful: {doubt}")
    print(f"{name} is in order: {summary(settings, access, len(listeners))}")
    return 0


def _check_listener(settings: Settings, number: int, listener: Listener, who: str) -> None:
    with settings.naming(*settings.place_of(number)):
        check_listener(listener, who)


def _check_store(settings: Settings) -> None:
    if settings.store is not None and settings.store != MEMORY:
        with settings.naming("store"):
            _check_path(settings.store)


def _check_path(store: str) -> None:
    path = Path(store)
    folder = path.absolute().parent
    if path.is_dir():
        raise ValueError(f"{store} is a folder, not a file")
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}, and so no file {store}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise ValueError(f"this user may not write {store}")


def summary(settings: Settings, access: Access | None, listeners: int) -> str:
    parts = [count(listeners, "listener"), "a store" if settings.store else "no store"]
    if access is None:
        parts.append("no users: everybody of this machine may do everything")
    else:
        if isinstance(access.users, Users):
            parts.append(count(len(access.users), "user"))
        parts.append("no rules" if access.rules is None else count(len(access.rules), "rule"))
    return ", ".join([*parts, *([count(len(settings.limits), "limit") + " of its own"] if settings.limits else [])])


def count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
