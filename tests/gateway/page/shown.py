"""A gateway as the page sees it, with lines and upstreams that say what a test wants, around a real broker."""

import time
from types import SimpleNamespace
from typing import Any

from mqttlite.broker.config.settings import Settings


class Said:
    """A line, or an upstream: `state` is what it says of itself."""

    def __init__(self, **state: Any) -> None:
        self.state = state
        self.config = SimpleNamespace(path=state.get("port", ""))
        self.device_id = state.get("device", "")

    def describe(self) -> dict[str, Any]:
        return dict(self.state)


def line(port: str, device: str = "", **more: Any) -> Said:
    """A line with a device that does well, unless `more` says otherwise."""
    state: dict[str, Any] = {
        "port": port, "device": device, "link": bool(device), "looks_like": "", "advice": "", "broker": bool(device),
        "broker_problem": "", "connections": 1, "refused": 0, "up_bytes": 0, "down_bytes": 0,
        "rtt_ms": 12 if device else 0, "log_lines_left_out": 0,
        "frames": dict.fromkeys(
            ("sent", "resent", "received", "repaired", "damaged", "foreign", "timeouts", "duplicates", "log_drops",
             "resets"), 0),
    }  # fmt: skip
    return Said(**{**state, **more})


class Uplink(Said):
    """An upstream with dead letters; `done` is what was asked of it."""

    def __init__(self, name: str, letters: list[dict[str, Any]] | None = None, **more: Any) -> None:
        state: dict[str, Any] = {
            "name": name, "kind": "mqtt", "url": f"mqtts://{name}.example:8883", "connected": True, "since_s": 4000.0,
            "problem": "", "queued": 0, "queued_bytes": 0, "oldest_s": None, "in_doubt": {"sent": 0, "released": 0},
            "drained_a_second": 0.0, "sent": 0, "acknowledged": 0, "refused": 0, "expired": 0, "dropped": {},
            "received": 0,
        }  # fmt: skip
        super().__init__(**{**state, **more})
        self.letters = letters or []
        self.done: list[tuple[str, int]] = []

    def describe(self) -> dict[str, Any]:
        return {**self.state, "set_aside": len(self.letters)}

    def dead_letters(self) -> list[dict[str, Any]]:
        return list(self.letters)

    async def retry(self, id: int) -> None:
        self._take("retry", id)

    async def drop(self, id: int) -> None:
        self._take("drop", id)

    def _take(self, what: str, id: int) -> None:
        self.letters = [letter for letter in self.letters if letter["id"] != id]
        self.done.append((what, id))


class Ledger:
    """Ways of messages."""

    def __init__(self, *ways: dict[str, Any]) -> None:
        self.ways = {way["key"]: way for way in ways}

    def recent(self, limit: int, filter: str = "") -> list[dict[str, Any]]:
        found = [way for way in self.ways.values() if filter in way["topic"] or filter in way["key"]]
        return [
            {
                "key": way["key"], "topic": way["topic"], "bytes": 20, "at_ms": way["steps"][-1]["at_ms"],
                "done": list(dict.fromkeys(step["what"] for step in way["steps"])),
            }
            for way in found[:limit]
        ]  # fmt: skip

    def way(self, key: str) -> dict[str, Any] | None:
        return self.ways.get(key)

    def describe(self) -> dict[str, Any]:
        return {"messages": len(self.ways), "bytes": 100 * len(self.ways)}


def gateway(*lines: Said, uplinks: tuple[Uplink, ...] = (), broker: Any = None, ledger: Any = None) -> Any:
    """What Page takes for a gateway that runs."""
    return SimpleNamespace(
        lines=list(lines), uplinks=list(uplinks), broker=broker, ledger=ledger, started_at_s=time.time() - 90_000,
        ports=SimpleNamespace(missing=[]), bus_troubles=[],
        config=SimpleNamespace(upstream="mqtt://127.0.0.1:1", tls={}, is_bridge=broker is not None,
                               provision=None, broker=Settings()),
    )  # fmt: skip
