"""For the tests of an application, on a computer: what it would publish and answer, without waiting."""

import asyncio
import json
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from . import commands, measuring
from .api import Application


class _Program:
    """Stands in for program.Program, as far as measuring and commands need one."""

    boots = 1
    client = SimpleNamespace(qos0_dropped=0, link_stats=lambda: None)
    owes_clock = False

    def __init__(self, app: Application) -> None:
        self.app = app
        self.settings: dict[str, Any] = {"led": None}
        self.lost: dict[str, int] = {}
        self.ended = ""

    def unconfirmed(self) -> int:
        return 0

    def count(self, cause: str, readings: int) -> None:
        self.lost[cause] = self.lost.get(cause, 0) + readings

    def has_changed(self) -> None:
        pass

    def stop(self, why: str) -> None:
        self.ended = why


def published(app: Application, name: str, values: Iterable[Any]) -> list[tuple[float, Any]]:
    """What is published when the sensor `name` reads `values`, one each time that it is due: (seconds, value), …
    An exception in the place of a value stands for a failure, and None for nothing to publish.
    """
    (sensor,) = [found for found in app.sensors if found.name == name]
    found = []
    for number, value in enumerate(values):
        at = number * sensor.every_ms
        if isinstance(value, Exception) or value is None:
            continue
        if sensor.take(value, at):
            found.append((at / 1000, sensor.readings.pop()[1]))
    return found


def read(app: Application, name: str) -> Any:
    """What the sensor `name` reads now. Raises what it raises."""
    (sensor,) = [found for found in app.sensors if found.name == name]
    value = sensor.read()
    return asyncio.run(asyncio.wait_for(value, measuring.READ_MAX_S)) if hasattr(value, "send") else value


def obey(app: Application, command: dict[str, Any]) -> dict[str, Any]:
    """The answer to a command."""
    return asyncio.run(commands.obey(_Program(app), json.dumps(command).encode()))  # type: ignore[arg-type]
