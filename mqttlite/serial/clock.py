"""The clock of the shells. Both runtimes; the core and the link are told the time and never ask."""

import time

if hasattr(time, "ticks_ms"):
    _ms = 0
    _ticks: int = time.ticks_ms()

    def now_ms() -> int:
        """Milliseconds that do not wrap, as long as this is called once in some days."""
        global _ms, _ticks
        ticks: int = time.ticks_ms()  # type: ignore[attr-defined]
        _ms += time.ticks_diff(ticks, _ticks)  # type: ignore[attr-defined]
        _ticks = ticks
        return _ms  # type: ignore[no-any-return]

else:

    def now_ms() -> int:
        """Milliseconds."""
        return time.monotonic_ns() // 1000000
