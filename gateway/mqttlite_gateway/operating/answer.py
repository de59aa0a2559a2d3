"""What the control socket says of the gateway around its broker: `mqttlite doctor` asks for it."""

import os
import time
from typing import Any

from mqttlite import __version__

from ..running import Running
from .health import reasons


def answer(gateway: Running) -> dict[str, Any]:
    """Lines, upstreams, and what is wrong, as plain data."""
    return {
        "pid": os.getpid(),
        "version": __version__,
        "up_s": round(time.time() - gateway.started_at_s),
        "reasons": reasons(gateway),
        "lines": [line.describe() for line in gateway.lines],
        "uplinks": [uplink.describe() for uplink in gateway.uplinks],
    }
