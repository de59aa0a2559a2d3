"""A gateway that runs, as those see it who look at it or see to it: its page, its operator, Home Assistant, mDNS. They
need no more of it than this; gateway.py is what puts it together.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mqttlite.broker import Broker
    from mqttlite.ledger import Ledger

    from .lines.line import GatewayLine
    from .lines.ports import Ports
    from .settings.whole import Config
    from .uplink import Uplink


class Running(Protocol):
    """What there is, as it is now: others stand here after a reload, and lines and uplinks come and go.

    `broker`: the one inside; None in forward mode. `ledger`: None where it keeps none. `started_at_s`: since 1970.
    """

    config: "Config"
    lines: "list[GatewayLine]"
    uplinks: "list[Uplink]"
    ports: "Ports"
    broker: "Broker | None"
    ledger: "Ledger | None"
    started_at_s: float

    @property
    def bus_troubles(self) -> Sequence[str]:
        """Why ports of buses are not open, in words."""
        ...
