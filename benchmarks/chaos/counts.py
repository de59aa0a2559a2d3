"""What became of the messages of a run, and the sums over runs.

A message is *accepted* when the client's publish has returned, *confirmed* when the broker has sent the publisher its
PUBACK (QoS 1) or PUBCOMP (QoS 2), *handled* when the consumer's handler has written it down, durably.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.crash import counting


class Counts(NamedTuple):
    """What went wrong in one run, by number of message, and what it was exposed to."""

    lost: list[int]  # accepted and never handled
    confirmed_lost: list[int]  # confirmed and never handled
    duplicated: list[int]  # handled more than once
    misordered: list[int]  # handled for the first time after a later one
    kills: int = 0
    cuts: int = 0
    stalls: int = 0
    failure: str = ""  # why the run did not end as it should, or nothing

    @property
    def clean(self) -> bool:
        return not (self.lost or self.confirmed_lost or self.duplicated or self.misordered or self.failure)


def count(accepted: Iterable[int], confirmed: Iterable[int], handled: Sequence[int]) -> Counts:
    """The four figures."""
    return Counts(
        lost=counting.lost(accepted, handled),
        confirmed_lost=counting.lost(confirmed, handled),
        duplicated=counting.repeated(handled),
        misordered=counting.out_of_order(handled),
    )


class Sums(NamedTuple):
    """The figures of all runs of one pair, kind of fault and QoS."""

    runs: int
    lost: int
    confirmed_lost: int
    duplicated: int
    misordered: int
    kills: int
    cuts: int
    stalls: int
    failed: int

    @property
    def clean(self) -> bool:
        return not (self.lost or self.confirmed_lost or self.duplicated or self.misordered or self.failed)


def sums(runs: Sequence[Counts]) -> Sums:
    return Sums(
        runs=len(runs),
        lost=sum(len(run.lost) for run in runs),
        confirmed_lost=sum(len(run.confirmed_lost) for run in runs),
        duplicated=sum(len(run.duplicated) for run in runs),
        misordered=sum(len(run.misordered) for run in runs),
        kills=sum(run.kills for run in runs),
        cuts=sum(run.cuts for run in runs),
        stalls=sum(run.stalls for run in runs),
        failed=sum(bool(run.failure) for run in runs),
    )
