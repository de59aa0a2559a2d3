"""What the parts of a world know of the processes in it, and no more: disks, networks and lines are below both.

A process is more (process.py), and so is a world (world.py).
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .clock import Clock
from .disks.disk import Mount
from .timeline import Timeline


class Loop(asyncio.AbstractEventLoop):
    """The event loop of a process, which its kernel calls. `dead`: it takes everything and does nothing."""

    dead: bool

    def enter(self, callback: Callable[..., object], *args: Any) -> None:
        """Something happened outside: `callback` deals with it, at once if the process is not busy."""
        raise NotImplementedError


class Machine(Protocol):
    """A process and the machine that it has for itself. See process.Process."""

    name: str
    life: int
    alive: bool
    powered: bool
    clock: Clock
    mount: Mount
    handover_ns: tuple[int, int]
    unhandled: list[tuple[str, BaseException | None]]

    @property
    def world(self) -> Timeline: ...
    @property
    def loop(self) -> Loop: ...
    def kill(self) -> None: ...
    def cut_power(self) -> None: ...
    def bury(self) -> None: ...


class Machines(Timeline):
    """The time of a world, and who lives in it. `current`: what is running now. `on_turn`: is told of each process that
    has just done something: the place for what must hold at any time.
    """

    current: Machine | None
    on_turn: Callable[[Machine], object] | None = None

    @property
    def processes(self) -> Mapping[str, Machine]:
        """By name, which is also the name of the host."""
        raise NotImplementedError
