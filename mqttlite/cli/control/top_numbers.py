"""What `mqttlite top` shows: two looks at a broker make rates; clients in the order that was asked for."""

from dataclasses import dataclass
from typing import Any

from ..showing.columns import size, span


@dataclass(frozen=True)
class Column:
    """`key`: that sorts by it; `name`: of the value, or of the rate that is made of it."""

    key: str
    title: str
    name: str
    is_bytes: bool = False
    is_rate: bool = False


COLUMNS = (
    Column("u", "queued", "queued"),
    Column("b", "queue", "queued_bytes", is_bytes=True),
    Column("d", "in doubt", "in_doubt"),
    Column("x", "dropped", "dropped"),
    Column("m", "QoS 1+2/s", "accepted", is_rate=True),
    Column("o", "out/s", "sent_bytes", is_bytes=True, is_rate=True),
    Column("i", "in/s", "read_bytes", is_bytes=True, is_rate=True),
)
BY_NAME = "c"  # the key that sorts by client identifier
KEYS = (BY_NAME, *(column.key for column in COLUMNS))

_RATES = ("received", "sent", "dropped", "bytes_received", "bytes_sent")


class Look:
    """What a broker said at one moment (`at`, seconds), and what has changed since the look before."""

    def __init__(
        self, status: dict[str, Any], clients: list[dict[str, Any]], at: float, before: "Look | None" = None
    ) -> None:
        self.status = status
        self.clients = clients
        self.at = at
        self._by_name = {each["client"]: each for each in clients}
        took_s = at - before.at if before else 0.0
        self.rates = {name: _rate(status[name], before.status[name] if before else None, took_s) for name in _RATES}
        self._client_rates: dict[tuple[str, str], float] = {}
        for each in clients:
            old = before._by_name.get(each["client"]) if before else None
            if old and old["address"] != each["address"]:  # another connection, which counts from 0
                old = None
            for column in COLUMNS:
                if column.is_rate:
                    rate = _rate(each[column.name], old[column.name] if old else None, took_s)
                    self._client_rates[each["client"], column.name] = rate

    def value(self, client: dict[str, Any], column: Column) -> float:
        """What stands in a column."""
        if column.is_rate:
            return self._client_rates[client["client"], column.name]
        return float(client[column.name] or 0)

    def sorted(self, key: str, is_reversed: bool) -> list[dict[str, Any]]:
        """The clients, by name from the beginning, by numbers from the largest one on; `is_reversed`: the other way."""
        found = sorted(self.clients, key=lambda each: str(each["client"]))
        column = next((column for column in COLUMNS if column.key == key), None)
        if column:
            found.sort(key=lambda each: -self.value(each, column))
        return found[::-1] if is_reversed else found

    def cells(self, client: dict[str, Any]) -> list[str]:
        """Numbers of a client, as text."""
        found = []
        for column in COLUMNS:
            value = self.value(client, column)
            found.append(size(value) if column.is_bytes else _shown(value) if column.is_rate else str(int(value)))
        return found

    def lines(self) -> list[str]:
        """The broker as a whole."""
        status, rates = self.status, self.rates
        sync = status.get("store_sync_ms")
        disk = f"; syncs {sync['mean']} ms on average, {sync['most']} ms at most" if sync else ""
        held = sum(status["held_bytes"].values())
        drops = [f"{name} {count}" for name, count in status["dropped_by_cause"].items() if count]
        hits = [f"{name} {count}" for name, count in status["limits"].items() if count]
        lines = [
            f"mqttlite {status['version']}  up {span(status['uptime_s'])}  {', '.join(status['addresses'])}",
            f"clients   {status['clients_connected']} connected, {status['clients_disconnected']} away, "
            f"{status['half_open']} half open, {status['publishers_held_back']} held back",
            f"messages  {_shown(rates['received'])}/s in, {_shown(rates['sent'])}/s out, "
            f"{_shown(rates['dropped'])}/s dropped; {size(rates['bytes_received'])}/s in, "
            f"{size(rates['bytes_sent'])}/s out",
            f"queues    {status['queued']} messages, {size(status['held_bytes']['queued'])}; in doubt "
            f"{status['in_doubt']} out, {status['unreleased']} in; {size(held)} held in all",
            f"dropped   {status['dropped']}" + (f": {', '.join(drops)}" if drops else ""),
            f"loop      at most {status['loop_lag_ms']['most']} ms late{disk}",
        ]
        if hits:
            lines.append(f"limits    {', '.join(hits)}")
        if status["trouble"]:
            lines.append(f"TROUBLE   {status['trouble']}")
        return lines


def _rate(now: float | None, before: float | None, took_s: float) -> float:
    """A second; 0 where it is not known, or the counter has begun again."""
    if now is None or before is None or took_s <= 0:
        return 0.0
    return max(0.0, now - before) / took_s


def _shown(rate: float) -> str:
    return f"{rate:.1f}" if 0 < rate < 10 else f"{rate:.0f}"
