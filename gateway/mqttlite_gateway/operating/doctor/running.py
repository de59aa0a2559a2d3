"""The gateway that runs: what its control socket says of it."""

from collections.abc import Iterator
from typing import Any

from mqttlite.broker.operating.control_path import running

from .asking import ask
from .finding import DOUBTFUL, LEFT_OUT, OK, WRONG, Case, Finding

STEP = "gateway"


def look(case: Case) -> Iterator[Finding]:
    """Whether one runs, its lines and upstreams."""
    found: dict[str, Any] | None = None
    for path in running():
        try:
            found = ask(path, "gateway")
        except ValueError:  # a broker that is no gateway's
            continue
        except OSError as error:
            yield Finding(STEP, LEFT_OUT, f"{path}: {error.strerror or error}", "sudo mqttlite doctor")
            return
        case.state = ask(path, "status")
        break
    if found is None:
        todo = "sudo systemctl start mqttlite-gateway; one in forward mode, or of another user, is not seen"
        yield Finding(STEP, LEFT_OUT, "no gateway with a broker inside runs here, or this user may not ask it", todo)
        return
    case.pid = int(found["pid"])
    yield Finding(STEP, OK, f"a gateway runs: process {found['pid']}, version {found['version']}", values=dict(found))
    for reason in found["reasons"]:
        yield Finding(STEP, WRONG, str(reason), "journalctl -u mqttlite-gateway says more; docs/pi.md what it means")
    for line in found["lines"]:
        if not line.get("link"):
            advice = str(line.get("advice") or "no device yet")
            yield Finding(STEP, DOUBTFUL, f"{line.get('port')}: {advice}")
    aside = sum(int(uplink.get("set_aside") or 0) for uplink in found["uplinks"])
    if aside:
        text = f"{aside} messages are set aside, which an upstream would not take"
        yield Finding(STEP, DOUBTFUL, text, "look at them on the gateway's page: retry or drop each")
