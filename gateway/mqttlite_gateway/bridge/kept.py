"""What has to be known of an upstream after a restart, in the store of the broker inside, beside its session. Imports
settings.
"""

import hashlib
import json
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mqttlite.broker import Broker
from mqttlite.broker.inside import keep, kept

from ..settings.upstream import UpstreamSettings

_MACHINE = Path("/etc/machine-id")


@dataclass
class Kept:
    """`client_id`: at the upstream. `met`: with which upstream, and which client identifier there, the session has
    begun; "": with none, so if that has one, it is of an earlier life of ours. `filters`: what is subscribed to there,
    with the options. `marks`: numbers of messages, and when they were the next (ms, the broker's clock). `takes_one`:
    as `met`, of an upstream that takes QoS 2 as QoS 1, against the standard. `is_reached`: a sink was connected since
    the session began. `deaf`: as `met`, of an upstream that has not answered PUBREL on its last connection.
    """

    client_id: str = ""
    met: str = ""
    is_reached: bool = False
    deaf: str = ""
    filters: dict[str, int] = field(default_factory=dict)
    marks: list[list[int]] = field(default_factory=list)
    takes_one: str = ""

    def save(self, broker: Broker, name: str) -> None:
        """Durable with the next commit; nothing is written when nothing is new."""
        data = json.dumps(asdict(self), separators=(",", ":")).encode()
        if data != kept(broker, name):
            keep(broker, name, data)


def load(broker: Broker, settings: UpstreamSettings) -> Kept:
    """What the store has; a client identifier, in any case."""
    found = Kept()
    data = kept(broker, settings.name)
    if data:
        found = Kept(**json.loads(data))
    if settings.client_id:
        found.client_id = settings.client_id
    elif not found.client_id:
        found.client_id = f"{platform.node() or 'gateway'}-{_machine()}-{settings.name}"
    return found


def _machine() -> str:
    """Of this machine, another one for each: many are called raspberrypi. The same after the store was lost."""
    try:
        text = _MACHINE.read_bytes().strip()
    except OSError:
        text = b""
    return hashlib.sha256(b"mqttlite bridge " + (text or platform.node().encode())).hexdigest()[:6]
