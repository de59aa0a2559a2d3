"""A *schedule* is a small world, a seed and the faults that happen. The same schedule gives the same trace."""

import shlex
from typing import NamedTuple

from .features import feature as features
from .features.feature import Feature
from .features.run import FeatureRun
from .scene import attempt
from .small import bridge as bridges
from .small import pieces
from .small.bridge import Bridge, BridgeRun
from .small.faults import Extent, Fault
from .small.pieces import Streaming, StreamingRun
from .small.placing import place
from .small.run import Run
from .small.small import Small
from .small.small import named as small_named
from .small.steps import Steps

SEED = 1
AnyWorld = Small | Feature | Bridge | Streaming


def named(name: str) -> AnyWorld:
    """The world of a name. ValueError when it is none."""
    return features.named(name) or bridges.named(name) or pieces.named(name) or small_named(name)


class Schedule(NamedTuple):
    """What is run."""

    small: AnyWorld
    faults: tuple[Fault, ...] = ()
    seed: int = SEED

    def __str__(self) -> str:
        return f"{self.small} seed {self.seed}: " + (", ".join(map(str, self.faults)) or "no fault")

    @property
    def command(self) -> str:
        """What repeats it."""
        faults = "".join(f" --fault {shlex.quote(str(fault))}" for fault in self.faults)
        return f"mqttlite simulate --scenario {self.small} --seed {self.seed}{faults}"

    def run(self) -> Steps:
        """The world, not started yet."""
        if isinstance(self.small, Feature):
            return FeatureRun(self.small, self.seed, lambda run: place(run, list(self.faults)))
        if isinstance(self.small, Bridge):
            return BridgeRun(self.small, self.seed, lambda run: place(run, list(self.faults)))
        if isinstance(self.small, Streaming):
            return StreamingRun(self.small, self.seed, lambda run: place(run, list(self.faults)))
        return Run(self.small, self.seed, lambda run: place(run, list(self.faults)))


class Result(NamedTuple):
    """What came of a schedule. `points`: what was hit."""

    schedule: Schedule
    problems: list[str]
    points: list[str]
    extent: Extent
    began: Extent  # where the last fault happened
    turns: list[tuple[int, str]]  # as Run.turns


def try_out(schedule: Schedule) -> Result:
    """Run a schedule to its end."""
    run = schedule.run()
    problems = attempt(run)
    points = [f"{fault} | {point}" for fault, point in run.happened]
    return Result(schedule, problems, points, run.extent, run.last, run.turns)


def shrink(schedule: Schedule) -> Schedule:
    """The fewest faults of a failing schedule that still fail: without those that are not needed, then single ones that
    come first.
    """
    faults = list(schedule.faults)
    at = 0
    while at < len(faults):
        fewer = schedule._replace(faults=tuple(faults[:at] + faults[at + 1 :]))
        if try_out(fewer).problems:
            faults = list(fewer.faults)
        else:
            at += 1
    return schedule._replace(faults=tuple(faults))
