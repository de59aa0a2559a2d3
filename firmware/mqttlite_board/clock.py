"""What time it is: milliseconds since this start, which never leap, and since 1970, once the clock is set.

A board has no clock of its own that runs without power. Readings are stamped with the first; what leaves before the
second is known says so (measuring.py), and a message on `clock` tells later when that start was. `up_ms()` does not
wrap, as long as it is called once in some days. Both runtimes.
"""

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

YEAR_MIN = 2025  # a clock that says less was never set
FROM_1970_S = 946684800 if time.gmtime(0)[0] == 2000 else 0  # of the seconds that this runtime counts

_up = 0
_begun: "int | None" = None  # in milliseconds since 1970; None: not known


_source: "Any" = time  # the runtimes differ in what it has
_ticks = 0


def _up_ms_of_a_board() -> int:
    global _up, _ticks
    ticks = _source.ticks_ms()
    _up += _source.ticks_diff(ticks, _ticks)
    _ticks = ticks
    return int(_up)


def _up_ms_of_a_computer() -> int:
    return int(_source.monotonic() * 1000) - int(_ticks)


if hasattr(time, "ticks_ms"):
    _ticks = _source.ticks_ms()
    up_ms = _up_ms_of_a_board
else:
    _ticks = int(_source.monotonic() * 1000)
    up_ms = _up_ms_of_a_computer


def begun() -> "int | None":
    """When this start was, in milliseconds since 1970; None: the clock is not set."""
    return _begun


def epoch_ms(at: "int | None" = None) -> "int | None":
    """Now, or `at` of `up_ms`, in milliseconds since 1970; None: the clock is not set."""
    if _begun is None:
        return None
    return _begun + (up_ms() if at is None else at)


def resume(zero: int, now: int) -> None:
    """Count from the last start that was no waking on: the board's clock, which runs on in deep sleep, said `zero`."""
    global _up, _ticks, _begun
    before = up_ms()
    if hasattr(time, "ticks_ms"):
        _up += now - zero
    else:
        _ticks -= now - zero
    if _begun is not None:
        _begun -= up_ms() - before


def follow() -> None:
    """Take the time that the board's clock has, if that was ever set: it runs on in deep sleep."""
    global _begun
    if time.gmtime()[0] >= YEAR_MIN:
        _begun = time.time_ns() // 1000000 + FROM_1970_S * 1000 - up_ms()


def set_epoch(ms: int) -> None:
    """It is `ms` milliseconds since 1970. Sets the board's clock, too."""
    global _begun
    _begun = ms - up_ms()
    try:
        from machine import RTC
    except ImportError:
        return  # a computer, whose clock is not ours
    clock: "Any" = RTC()
    year, month, day, hour, minute, second, weekday, _ = time.gmtime(ms // 1000 - FROM_1970_S)[:8]
    clock.datetime((year, month, day, weekday, hour, minute, second, ms % 1000 * 1000))


follow()
