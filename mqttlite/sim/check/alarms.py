"""What nobody should see in the trace: faults that clients and brokers log, and connecting again and again."""

from collections import deque

from ..timeline import SECOND, Entry

KINDS = ("warning", "error", "critical", "connect")  # of entries that may be one
WORDS = ("protocol error", "internal error", "unexpected", "Traceback", "never awaited")
EXPECTED = ("keep alive", "no CONNECT", "no byte")  # a client was silent: the network's fault
CONNECTS_MAX = 20  # attempts of one process in a second: more than with the shortest pause between two of them
MOST = 10  # that are kept


class Alarms:
    """Is shown entries of the trace. `found`: what is wrong. `expected`: words that excuse a line. `busy`: who may
    connect often: for many, or because the application wants it.
    """

    def __init__(self, *expected: str) -> None:
        self.expected = (*EXPECTED, *expected)
        self.found: list[str] = []
        self.busy: set[str] = set()
        self._connects: dict[str, deque[int]] = {}

    def see(self, entry: Entry) -> None:
        """An entry of one of KINDS."""
        at, lane, kind, text = entry
        if len(self.found) >= MOST:
            return
        if kind != "connect":
            said = str(text)
            if any(word in said for word in WORDS) and not any(word in said for word in self.expected):
                self.found.append(f"{lane}: {said:.200} ({at / SECOND:.3f} s)")
        elif lane not in self.busy:
            times = self._connects.setdefault(lane, deque(maxlen=CONNECTS_MAX + 1))
            times.append(at)
            if len(times) > CONNECTS_MAX and times[-1] - times[0] < SECOND:
                self.found.append(f"{lane} connects more than {CONNECTS_MAX} times in a second")
