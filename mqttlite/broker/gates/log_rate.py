"""Lines of the log that come with each connection or packet have a rate: a flood of them must not fill the disk.
Imports addresses, rates.

A filter of `logging`: a line is known by its template and, where its first argument has one, by its address. Each
address has some lines of each template, all together more; what is beyond is counted, and said in a line for each
template when `summaries` is called.
"""

import logging
from collections import Counter
from collections.abc import Callable

from ..bounds.addresses import key_of
from ..bounds.rates import Rate

EVERY_MS = 10_000


class LogRate(logging.Filter):
    """Lines are ten times `a_second` at once, then `a_second`; a fifth of them for one address. `clock`: ms."""

    def __init__(self, a_second: int, clock: Callable[[], int]) -> None:
        logging.Filter.__init__(self)
        self._clock = clock
        self.take_limit(a_second)
        self._left_out: dict[str, Counter[str]] = {}
        self._said_at = 0

    def take_limit(self, a_second: int) -> None:
        """Another one from now on: counting begins anew."""
        burst = 10 * a_second
        self._of_all = Rate(60 * a_second, burst)
        self._of_one = Rate(12 * a_second, max(1, burst // 5))

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        template = str(record.msg)
        args = record.args if isinstance(record.args, tuple) else ()
        address = getattr(getattr(args[0], "peer", args[0]), "address", "") if args else ""
        if not address and not record.exc_info:
            return True
        key = key_of(address)
        now = self._clock()
        if self._of_one.left(f"{template} {key}", now) > 0 and self._of_all.take(template, now):
            self._of_one.owe(f"{template} {key}", now, 1)
            return True
        self._left_out.setdefault(template, Counter())[key] += 1
        return False

    def summaries(self) -> list[str]:
        """What has been left out, a line for each template, every ten seconds."""
        now = self._clock()
        if not self._left_out or now - self._said_at < EVERY_MS:
            return []
        self._said_at = now
        found = []
        for template, counts in self._left_out.items():
            key, most = counts.most_common(1)[0]
            of = f", {most} of them of {key or 'one address'}" if len(counts) > 1 or key else ""
            found.append(f"log: {counts.total()} more lines like {template!a} left out{of}")
        self._left_out = {}
        return found
