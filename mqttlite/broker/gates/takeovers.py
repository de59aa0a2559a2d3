"""Two that use one client identifier throw each other out [MQTT-3.1.4-2]: how often, and who is refused then. Imports
rates, addresses, limits.

Whose session it is decides first: who is not its owner does not come as far as this (access). Then the address: the one
that the session was made from is its home. Take-overs between addresses are few a minute; beyond that, who comes from
home is let in all the same, and the other is refused, so a stranger who has learnt an identifier cannot keep its owner
out. Within one address a client whose connection was cut comes back often, so there are more.
"""

from typing import TYPE_CHECKING

from ..bounds.rates import Rate
from ..limits import Limits

if TYPE_CHECKING:
    from ..clients.client_session import ClientSession

WITHIN = 4  # times as many within one address


class Takeovers:
    """By client identifier, and the address that wants it; a session that begins anew under it is the same contest."""

    def __init__(self, limits: Limits) -> None:
        self.take_limits(limits)

    def take_limits(self, limits: Limits) -> None:
        """Others from now on: counting begins anew."""
        self._a_minute = limits.takeovers_a_minute
        self._between = Rate(self._a_minute, self._a_minute)
        self._within = Rate(WITHIN * self._a_minute, WITHIN * self._a_minute)

    def may(self, client: "ClientSession", holder: str, newcomer: str, now: int) -> bool:
        """Whether who comes from `newcomer` (an address's key) may take over from `holder`."""
        name = client.client_id.decode()
        if not self._a_minute:
            return False
        if holder != newcomer:
            if self._between.take(name, now):
                return True
            if newcomer != client.home:
                return False
        return self._within.take(f"{newcomer} {name}", now)
