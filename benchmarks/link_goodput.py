"""Goodput of the serial link in virtual time: payload bytes of completed QoS 1 messages per byte the line can carry.

64-byte payloads, 11-character topic, 4 ms latency each way, the acknowledgements over the same noisy line; seeded, so
that every run prints the same. In brackets the ideal repeat protocol with the same frames: a frame that is damaged
costs its own time once more and nothing else, and nothing is lost of the acknowledgements.

    python -m benchmarks.link_goodput [messages]
"""

import sys
from collections.abc import Callable
from typing import NamedTuple

from mqttlite.link.frames import MQTT
from mqttlite.link.link import Link
from mqttlite.sim.lines.noise import Noise
from tests.link.virtual_line import VirtualLine

PAYLOAD = 64
# PUBLISH: type, remaining length, topic length, topic, packet identifier, payload; PUBACK.
PUBLISH_BYTES = 2 + 2 + 11 + 2 + PAYLOAD
PUBACK_BYTES = 4
SEEDS = range(20240, 20270, 10)
FRAME_BYTES = 124  # of a full frame on the line, with the usual options: 114 of MQTT


class Case(NamedTuple):
    """A column of the table: its noise."""

    name: str
    noise: Callable[[int], Noise]


class Row(NamedTuple):
    """A row of the table: line, window, and how far below the ideal it may be."""

    baud: int
    window: int
    tolerance: float


CASES = (
    Case("no errors", Noise),
    Case("bit errors 1e-5", lambda seed: Noise(seed, bit_errors=1e-5)),
    Case("bit errors 1e-4", lambda seed: Noise(seed, bit_errors=1e-4)),
    Case("dropped 1e-3", lambda seed: Noise(seed, dropped=1e-3)),
)
ROWS = (
    Row(115200, 8, 0.03),
    Row(921600, 16, 0.15),
)


def ideal(case: Case, undisturbed: float) -> float:
    """What is left of the goodput without errors if each damaged frame is sent once more, until it is whole."""
    return undisturbed * (1.0 - case.noise(0).rate) ** FRAME_BYTES


def goodput(row: Row, case: Case, messages: int, seed: int) -> float:
    """Completed payload bytes per byte time of the line, from the first message to the last PUBACK."""
    window_bytes = 2 * row.window * 128
    sender, receiver = (
        Link(epoch, baud=row.baud, window=row.window, receive_window=window_bytes, send_buffer=window_bytes)
        for epoch in (1, 2)
    )
    line = VirtualLine(
        sender, receiver, baud=row.baud, latency_ms=4.0, noise_ab=case.noise(seed), noise_ba=case.noise(seed + 1)
    )
    begun = 0
    unsent = b""
    whole = 0
    completed = 0
    arrived = bytearray()

    def fill() -> None:
        nonlocal begun, unsent
        while True:
            if not unsent and begun < messages:
                unsent = begun.to_bytes(4, "big") + bytes(range(1, PUBLISH_BYTES - 3))
                begun += 1
            unsent = unsent[sender.send(MQTT, unsent) :]
            if unsent or begun == messages:
                return

    def published(channel: int, data: bytes | memoryview) -> None:
        nonlocal whole
        if channel != MQTT:
            return  # noise that reads as text
        arrived.extend(data)
        receiver.consumed(len(data))
        while len(arrived) >= PUBLISH_BYTES:
            if int.from_bytes(arrived[:4], "big") != whole or arrived[4] != 1:
                raise AssertionError(f"message {whole} arrived corrupt")
            del arrived[:PUBLISH_BYTES]
            whole += 1
            if receiver.send(MQTT, bytes(PUBACK_BYTES)) != PUBACK_BYTES:
                raise AssertionError("no room for a PUBACK")

    def acknowledged(channel: int, data: bytes | memoryview) -> None:
        nonlocal completed
        if channel != MQTT:
            return
        completed += len(data)
        sender.consumed(len(data))

    receiver.on_data = published
    sender.on_data = acknowledged
    while not (sender.up and receiver.up):
        line.step()
    start = line.now
    while completed < messages * PUBACK_BYTES:
        fill()
        line.step()
    return messages * PAYLOAD / ((line.now - start) * row.baud / 10000)


def main() -> int:
    """Prints the table; exit status 1 if a figure is further below the ideal than it may be."""
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    print(f"goodput of {messages} QoS 1 messages of {PAYLOAD} bytes, mean of {len(SEEDS)} seeds (ideal)")
    print(f"{'':24}" + "".join(f"{case.name:>20}" for case in CASES))
    short = False
    for row in ROWS:
        cells = ""
        undisturbed = 0.0
        for case in CASES:
            reached = sum(goodput(row, case, messages, seed) for seed in SEEDS) / len(SEEDS)
            undisturbed = undisturbed or reached
            most = ideal(case, undisturbed)
            short |= reached < most * (1 - row.tolerance)
            cells += f"{reached:12.3f} ({most:.3f})"
        print(f"{row.baud:>8} baud, window {row.window:<2}" + cells, flush=True)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
