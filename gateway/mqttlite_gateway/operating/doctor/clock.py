"""The clock: whether it is right, who keeps it so, whether it survives a power cut. Certificates and expiry need it."""

import ctypes
import os
import time
from collections.abc import Iterator
from pathlib import Path

from .finding import DOUBTFUL, LEFT_OUT, OK, WRONG, Case, Finding

STEP = "clock"
RTC = Path("/sys/class/rtc")
_ERROR = 5  # TIME_ERROR: nobody keeps the clock right


class _Timex(ctypes.Structure):
    """struct timex; what is asked for is its first word: 0, nothing is changed."""

    _fields_ = (("modes", ctypes.c_uint), ("rest", ctypes.c_long * 64))


def is_synchronised() -> bool | None:
    """Whether somebody (NTP, as a rule) keeps the kernel's clock right; None: that cannot be told."""
    try:
        state: int = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(_Timex()))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _ERROR


def look(case: Case) -> Iterator[Finding]:
    """The time, who keeps it, the battery."""
    newest = os.path.getmtime(__file__)
    now = time.time()
    if now < newest - 86400:
        text = f"the clock says {time.strftime('%Y-%m-%d %H:%M', time.localtime(now))}, before mqttlite was made"
        yield Finding(
            STEP, WRONG, text, "sudo timedatectl set-ntp true, and see that this machine reaches an NTP server"
        )
        return
    kept = is_synchronised()
    values = {"synchronised": kept, "rtc": has_rtc()}
    if kept is None:
        yield Finding(STEP, LEFT_OUT, "whether the clock is kept right cannot be told here", values=values)
    elif kept:
        yield Finding(STEP, OK, "the clock is kept right (NTP)", values=values)
    else:
        todo = "sudo timedatectl set-ntp true; without a network a clock module (RTC), or GPS"
        text = "nobody keeps the clock right: certificates and message expiry go by it"
        yield Finding(STEP, DOUBTFUL, text, todo, values)
    if not values["rtc"]:
        text = "there is no clock with a battery: after a power cut the time is wrong until NTP answers"
        todo = "where the network may be away at a start: a clock module (DS3231), or the battery of the Pi 5's own"
        yield Finding(STEP, DOUBTFUL, text, todo)


def has_rtc() -> bool:
    """Whether there is a clock that goes on without power."""
    try:
        return any(RTC.iterdir())
    except OSError:
        return False
