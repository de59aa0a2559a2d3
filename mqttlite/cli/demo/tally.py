"""What the boards sent and what arrived: counted by sequence number. No I/O."""

from dataclasses import dataclass, field
from statistics import median

QOS = (0, 1, 2)


@dataclass
class Flow:
    """The messages of one board at one QoS. Each carries a number: 1, 2, 3, …"""

    sent: int = 0  # as far as is known: what the board said last, or the highest number that arrived
    seen: set[int] = field(default_factory=set)
    duplicated: int = 0
    misordered: int = 0  # first deliveries with a lower number than an earlier one
    last: int = 0

    def arrived(self, number: int) -> None:
        """Count one message."""
        if number in self.seen:
            self.duplicated += 1
            return
        self.seen.add(number)
        if number < self.last:
            self.misordered += 1
        self.last = max(self.last, number)
        self.sent = max(self.sent, number)

    @property
    def received(self) -> int:
        """Distinct messages that have arrived."""
        return len(self.seen)

    @property
    def missing(self) -> int:
        """Sent and not arrived: under way, or lost."""
        return self.sent - self.received


@dataclass
class Total:
    """The messages of all boards at one QoS."""

    sent: int
    received: int
    duplicated: int

    @property
    def missing(self) -> int:
        """Sent and not arrived."""
        return self.sent - self.received


@dataclass
class Board:
    """All that is known of one board."""

    name: str
    flows: dict[int, Flow] = field(default_factory=lambda: {qos: Flow() for qos in QOS})
    round_trips_ms: list[float] = field(default_factory=list)
    line_errors: int = 0  # bytes that its line has damaged or lost, both ways
    repaired_there: int = 0  # frames that the board had to send again, and that arrived then
    repaired_here: int = 0  # the same of the gateway
    reconnections: int = 0
    finished: bool = False

    @property
    def repaired(self) -> int:
        """Frames that either end of the line had to send again, and that arrived then."""
        return self.repaired_there + self.repaired_here

    @property
    def started(self) -> bool:
        """Whether anything has arrived from it."""
        return any(flow.received for flow in self.flows.values())

    @property
    def settled(self) -> bool:
        """Whether it has said how much it sent, and all of it that must arrive is here."""
        return self.finished and not self.flows[1].missing and not self.flows[2].missing

    @property
    def round_trip_ms(self) -> float | None:
        """Median of the last 20 commands: sent, carried out on the board, answered."""
        return median(self.round_trips_ms[-20:]) if self.round_trips_ms else None


class Tally:
    """All boards of a demo."""

    def __init__(self, names: list[str]) -> None:
        self.boards = {name: Board(name) for name in names}

    def totals(self) -> dict[int, Total]:
        """Sums over all boards, by QoS."""
        return {
            qos: Total(
                sum(board.flows[qos].sent for board in self.boards.values()),
                sum(board.flows[qos].received for board in self.boards.values()),
                sum(board.flows[qos].duplicated for board in self.boards.values()),
            )
            for qos in QOS
        }

    def broken_promises(self) -> list[str]:
        """What must not have happened, once every board has finished: in words, empty if all is well."""
        broken = []
        for board in self.boards.values():
            if not board.finished:
                broken.append(f"{board.name} did not report its counts")
            for qos in (1, 2):
                flow = board.flows[qos]
                if flow.missing:
                    broken.append(f"{board.name} lost {flow.missing} messages at QoS {qos}")
                if flow.misordered:
                    broken.append(f"{board.name}: {flow.misordered} messages out of order at QoS {qos}")
                if not flow.received:
                    broken.append(f"nothing arrived from {board.name} at QoS {qos}")
            if board.flows[2].duplicated:
                broken.append(f"{board.name}: {board.flows[2].duplicated} messages twice at QoS 2")
        return broken
