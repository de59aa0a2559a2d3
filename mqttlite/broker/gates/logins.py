"""Failed logins by address: who guesses passwords is slowed, and costs no hashing meanwhile. Imports addresses, rates,
limits, stats.

On this machine an address is many programs (and the clients of a proxy): there, one address with one user name is what
counts.
"""

from ..bounds.addresses import is_local, key_of
from ..bounds.rates import Rate
from ..counting.stats import Watch
from ..limits import Limits

BURST = 10  # as many mistakes at once: a password that has just been changed, on all devices of a house


class Logins:
    """`may_try` before a password is looked at, `failed` when it was wrong."""

    def __init__(self, limits: Limits, watch: Watch) -> None:
        self._limits = limits
        self.watch = watch
        self._now = 0
        self.take_limits()

    def take_limits(self) -> None:
        """The limits are others: counting begins anew."""
        self._rate = Rate(self._limits.failed_logins_a_minute, BURST)

    def may_try(self, address: str, username: str | None, now: int) -> bool:
        """Whether a login may be tried now; False is counted and logged."""
        self._now = now
        if self._rate.left(_key(address, username), now) > 0:
            return True
        most = self._limits.failed_logins_a_minute
        self.watch.hit("failed_logins_a_minute", address, f"not asked for its password, above {most} a minute", now)
        return False

    def failed(self, address: str, username: str | None) -> None:
        """A login has failed that was tried a moment ago."""
        self._rate.owe(_key(address, username), self._now, 1)


def _key(address: str, username: str | None) -> str:
    key = key_of(address)
    return f"{key} {username}" if is_local(key) else key
