"""How the board is: what it publishes as `state`, and with each answer. Both runtimes."""

import gc
import sys

from . import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .program import Program


def state(program: "Program") -> "dict[str, object]":
    """`sent`: the number of the last reading of what is counted; `unconfirmed` messages; `lost` readings by cause:
    unmeasured (no room: keep="all"), given_up (no room: the others), failed (a sensor), unsent (QoS 0 without a
    connection).
    """
    found: "dict[str, object]" = {
        "runtime": sys.implementation.name,
        "boot": program.boots,
        "up_s": clock.up_ms() // 1000,
        "unconfirmed": program.unconfirmed(),
    }
    sent = {sensor.name: sensor.number for sensor in program.app.sensors if sensor.number >= 0}
    if sent:
        found["sent"] = sent
    lost = dict(program.lost)
    if program.client.qos0_dropped:
        lost["unsent"] = program.client.qos0_dropped
    found["lost"] = lost
    if hasattr(gc, "mem_free"):
        found["free"] = gc.mem_free()
    link = program.client.link_stats()
    if link:
        found["repaired"] = link.repaired
        found["damaged"] = link.damaged
        found["rtt_ms"] = link.srtt_ms
    return found
