"""What there is to see of a gateway, as plain data: what its lines, upstreams, broker and ledger say of themselves,
with rates and what was seen last. Asked while somebody looks, and every ten seconds for the plots.
"""

import socket
import time
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from mqttlite import __version__
from mqttlite.broker.connections.turns import now_ms
from mqttlite.broker.operating import view

from ..operating.health import reasons
from ..running import Running
from .rates import Rates
from .samples import LINE, SPANS, UPLINK, Samples

CLIENTS_MAX = 200  # of the network that are shown; how many there are beyond it is said
KINDS = ("gateway", "line", "uplink", "client", "doubt", "drops")
GOOD, FAIR = 0.01, 0.1  # share of frames that were damaged or sent again, below which a line is so
FRAMES_LEAST = 20  # in the time that is judged: of fewer nobody can tell
NAN = float("nan")
_Named = tuple[str, dict[str, Any]]  # a line or an upstream: its name, and what it says of itself
SPARK = 6  # samples for a point of a small plot


class Collector:
    """`parts()`: everything, by the name of its part. `sample(at_s)`: for the plots."""

    def __init__(self, gateway: Running) -> None:
        self._gateway = gateway
        self._host = socket.gethostname()
        self.lines = Samples(LINE)
        self.uplinks = Samples(UPLINK)
        self._rates = Rates()
        self._sampled = Rates()
        self._seen: dict[str, float] = {}  # when a device was there last, by port

    def parts(self) -> dict[str, Any]:
        """What there is now."""
        now_s = time.time()
        lines, uplinks = list(self._lines()), list(self._uplinks())
        found: dict[str, Any] = {
            "gateway": self._whole([line for _, line in lines], [uplink for _, uplink in uplinks]),
            "drops": self._drops(uplinks),
            "doubt": self._doubt(uplinks),
        }
        for name, line in lines:
            found[f"line/{name}"] = {
                **line,
                **self._rates.of(name, now_s, _counters(line)),
                "seen_s": self._seen_s(name, line, now_s),
                "quality": _quality(self._rates.gained(name, "frames_bad"), self._rates.gained(name, "frames")),
            }
        for name, uplink in uplinks:
            found[f"uplink/{name}"] = uplink
        for client in self._clients():
            found[f"client/{client['client']}"] = client
        return found

    def sample(self, at_s: float) -> None:
        """Keep what plots are drawn of."""
        for name, line in self._lines():
            self._seen_s(name, line, at_s)
            rates = self._sampled.of(name, at_s, _counters(line))
            rtt_ms = line.get("rtt_ms") or NAN
            values = [rates.get(f"{each}_s", NAN) for each in ("up_bytes", "down_bytes", "repaired", "damaged")]
            self.lines.put(name, at_s, [*values, rtt_ms if line.get("link") else NAN])
        for name, uplink in self._uplinks():
            in_doubt = sum((uplink.get("in_doubt") or {}).values())
            numbers = (uplink.get("queued"), uplink.get("drained_a_second"), in_doubt, uplink.get("oldest_s"))
            self.uplinks.put(name, at_s, [NAN if number is None else float(number) for number in numbers])

    def history(self, part: str, span: str) -> dict[str, Any]:
        """The samples of a line or an upstream. ValueError: there is none of this name, or no such span."""
        kind, _, name = part.partition("/")
        samples = {"line": self.lines, "uplink": self.uplinks}.get(kind)
        if samples is None:
            raise ValueError("samples are kept of lines and of upstreams")
        if span not in SPANS:
            raise ValueError(f"there is no span {span[:80]!a}; there are {', '.join(SPANS)}")
        at_s = time.time()
        return {"names": samples.shape.names, "at_s": at_s, "rows": samples.rows(name, span, at_s)}

    def sparks(self) -> dict[str, list[float]]:
        """Bytes a second over the last hour, in both directions, a number for each minute, by line."""
        at_s = time.time()
        found = {}
        for name, _ in self._lines():
            both = [row[0] + row[1] for row in self.lines.rows(name, "hour", at_s)]
            found[name] = [_mean(both[begin : begin + SPARK]) for begin in range(0, len(both), SPARK)]
        return found

    def _lines(self) -> Iterable[_Named]:
        for line in list(self._gateway.lines):
            found = line.describe()
            yield str(found.get("port", "")), found

    def _uplinks(self) -> Iterable[_Named]:
        for uplink in self._gateway.uplinks:
            found = uplink.describe()
            yield str(found.get("name", "")), found

    def _seen_s(self, name: str, line: Mapping[str, Any], now_s: float) -> float | None:
        """How long ago its device was there; None: not since the gateway began."""
        if line.get("link"):
            self._seen[name] = now_s
        seen = self._seen.get(name)
        return None if seen is None else round(max(0.0, now_s - seen))

    def _whole(self, lines: list[dict[str, Any]], uplinks: list[dict[str, Any]]) -> dict[str, Any]:
        gateway = self._gateway
        broker = gateway.broker
        found: dict[str, Any] = {
            "version": __version__,
            "host": self._host,
            "uptime_s": int(time.time() - gateway.started_at_s),
            "mode": "forward" if broker is None else "bridge",
            "problems": reasons(gateway, lines, uplinks),
            "ledger": gateway.ledger.describe() if gateway.ledger is not None else None,
        }
        if broker is not None:
            stats = broker.stats
            totals = view.totals(broker)
            found |= {
                "addresses": broker.addresses,
                "store": None if broker.store is None else broker.store.path,
                "clients": totals.connected,
                "sessions": totals.connected + totals.disconnected,
                "queued": totals.queued,
                "received": stats.messages_received,
                "sent": stats.messages_sent,
                **self._rates.of("broker", time.time(), {"received": stats.messages_received}),
            }
        return found

    def _drops(self, uplinks: list[_Named]) -> list[dict[str, Any]]:
        """Messages and frames that did not get on, by where and why."""
        found = []
        broker = self._gateway.broker
        if broker is not None:
            found += [
                {"where": "broker", "cause": cause, "count": count} for cause, count in view.drops(broker.stats).items()
            ]
        for name, uplink in uplinks:
            dropped = {**(uplink.get("dropped") or {})}
            for each in ("refused", "expired"):
                if uplink.get(each):
                    dropped.setdefault(each, uplink[each])
            found += [{"where": name, "cause": cause, "count": count} for cause, count in dropped.items()]
        return found

    def _doubt(self, uplinks: list[_Named]) -> list[dict[str, Any]]:
        """Messages whose handshake has begun and not ended, by hop."""
        found = []
        broker = self._gateway.broker
        if broker is not None:
            totals = view.totals(broker)
            found += [
                {"hop": "devices → gateway", "state": "received", "count": totals.in_doubt_in},
                {"hop": "gateway → clients", "state": "sent", "count": totals.in_doubt_out},
            ]
        for name, uplink in uplinks:
            for state, count in (uplink.get("in_doubt") or {}).items():
                found.append({"hop": f"gateway → {name}", "state": state, "count": count})
        return found

    def _clients(self) -> Iterable[dict[str, Any]]:
        """Clients of the network, the connected ones first; those inside the gateway have a page of their own."""
        broker = self._gateway.broker
        if broker is None:
            return
        now = now_ms()
        outside = (client for client in broker.engine.sessions.values() if not client.client_id.startswith(b"$bridge/"))
        for client in islice(outside, CLIENTS_MAX):
            yield view.line(client, now)


def _mean(values: list[float]) -> float:
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else NAN


def _counters(line: Mapping[str, Any]) -> dict[str, int]:
    frames = line.get("frames") or {}
    bad = frames.get("damaged", 0) + frames.get("resent", 0)
    return {
        "up_bytes": line.get("up_bytes", 0),
        "down_bytes": line.get("down_bytes", 0),
        "repaired": frames.get("repaired", 0),
        "damaged": frames.get("damaged", 0),
        "frames_bad": bad,
        "frames": frames.get("sent", 0) + frames.get("received", 0) + frames.get("damaged", 0),
    }


def _quality(bad: float, frames: float) -> dict[str, Any]:
    """How good a line is: a word, and the share of frames that arrived at once."""
    if frames < FRAMES_LEAST:
        return {"word": "", "share": None}
    share = min(1.0, bad / frames)
    return {"word": "good" if share < GOOD else "fair" if share < FAIR else "poor", "share": round(1 - share, 4)}
