"""Which devices a gateway has, and how they are: on its lines, added by `mqttlite device`, and itself."""

from collections.abc import Iterator
from typing import Any

from mqttlite.broker.access.device_file import read_devices

from ..running import Running
from .payloads import Seen

_BAD = ("damaged", "resent")
_ALL = ("sent", "received", "damaged")


class Watched:
    """Looks at one gateway; the quality of a line is that since the look before."""

    def __init__(self, gateway: Running) -> None:
        self._gateway = gateway
        self._before: dict[str, dict[str, int]] = {}  # counters of each port
        self._names: dict[str, str] = {}  # of the device that was last on each port
        self._stamp: object = None
        self._added: list[str] = []
        self.problem = ""  # with the file of devices

    def look(self) -> Iterator[Seen]:
        """All of them, each name once."""
        found = {seen.name: seen for seen in self._network()}
        for seen in self._lines():
            found[seen.name] = seen
        yield self._itself()
        yield from found.values()

    def _lines(self) -> Iterator[Seen]:
        for line in list(self._gateway.lines):
            state = line.describe()
            port = state["port"]
            name = state["device"] or self._names.get(port, "")
            if name:
                self._names[port] = name
                is_there = bool(state["link"] and state["broker"])
                quality = self._quality(port, state["frames"]) if state["link"] else None
                rtt_ms = state["rtt_ms"] if state["link"] else None
                yield Seen(name, "line", is_there, quality, rtt_ms, self._queued(name))

    def _quality(self, port: str, frames: dict[str, int]) -> float | None:
        before = self._before.get(port, dict.fromkeys(frames, 0))
        self._before[port] = dict(frames)
        bad, everything = (sum(frames[name] - before[name] for name in names) for names in (_BAD, _ALL))
        return max(0.0, 100.0 * (1 - bad / everything)) if everything > 0 else None

    def _network(self) -> Iterator[Seen]:
        broker = self._gateway.broker
        for name in self._devices():
            client = broker.engine.sessions.get(name.encode()) if broker else None
            yield Seen(name, "network", client is not None and client.peer is not None, queued=self._queued(name))

    def _devices(self) -> list[str]:
        """The names in the file of devices, read again when it is another one."""
        path = self._gateway.config.broker.device_file
        if path is None or self._gateway.broker is None:
            return []
        try:
            info = path.stat()
            stamp: object = (info.st_mtime_ns, info.st_ino, info.st_size)
        except OSError:
            stamp = None
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._added = sorted(read_devices(path))
                self.problem = ""
            except ValueError as error:  # the devices stay as they were
                self.problem = str(error)
        return self._added

    def _queued(self, name: str) -> int | None:
        broker = self._gateway.broker
        if broker is None:
            return None
        client = broker.engine.sessions.get(name.encode())
        return client.session.queued if client is not None else 0

    def _itself(self) -> Seen:
        uplinks: list[dict[str, Any]] = [uplink.describe() for uplink in self._gateway.uplinks]
        problems = [f"{each['name']}: {each['problem']}" for each in uplinks if each.get("problem")]
        problems += [self.problem] if self.problem else []
        doubts = sum(sum(each.get("in_doubt", {}).values()) for each in uplinks)
        queued = sum(each.get("queued", 0) for each in uplinks)
        is_well = all(each.get("connected") for each in uplinks)
        name = "the gateway"  # its own name is that of the settings (payloads.py)
        return Seen(name, "gateway", is_well, queued=queued, in_doubt=doubts, problem="; ".join(problems))
