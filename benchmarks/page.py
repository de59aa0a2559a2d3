"""What the gateway's web page costs: a look at all lines, as it is made every two seconds while somebody has it open;
what a browser is sent first, and after a look; a sample for the plots, every ten seconds. Processor time.

    python -m benchmarks.page
"""

import time
from types import SimpleNamespace
from typing import Any

from mqttlite.broker.config.settings import Settings
from mqttlite_gateway.page.server import Page
from mqttlite_gateway.settings.page import PageSettings

LINES = (1, 20, 100)
LOOKS = 100
_FRAMES = (
    "sent", "resent", "received", "repaired", "damaged", "foreign", "timeouts", "duplicates", "log_drops", "resets",
)  # fmt: skip


class Line:
    """A line with a device that has something to say."""

    def __init__(self, number: int) -> None:
        self.bytes = 0
        self._port = f"/dev/serial/by-id/usb-FTDI_FT232R_A{number:07}-if00"
        self._device = f"greenhouse-{number}"

    def describe(self) -> dict[str, Any]:
        """As of GatewayLine."""
        self.bytes += 100
        return {
            "port": self._port, "device": self._device, "link": True, "looks_like": "", "advice": "", "broker": True,
            "broker_problem": "", "connections": 1, "refused": 0, "up_bytes": self.bytes, "down_bytes": self.bytes // 5,
            "rtt_ms": 21, "log_lines_left_out": 0, "frames": dict.fromkeys(_FRAMES, self.bytes // 50),
        }  # fmt: skip


def main() -> None:
    """Measure and print."""
    print("lines   a look       first news    news after a look   a sample")
    for count in LINES:
        gateway: Any = SimpleNamespace(
            lines=[Line(number) for number in range(count)], uplinks=[], broker=None, ledger=None, started_at_s=0.0,
            config=SimpleNamespace(upstream="mqtt://127.0.0.1:1", tls={}, is_bridge=False, broker=Settings()),
        )  # fmt: skip
        page = Page(gateway, PageSettings())
        page._refresh()
        known: dict[str, int] = {}
        first = len(page._parts.news(known))
        began = time.process_time()
        for _ in range(LOOKS):
            page._refresh()
        look_ms = (time.process_time() - began) * 1000 / LOOKS
        news = len(page._parts.news(known))
        began = time.process_time()
        for number in range(LOOKS):
            page._collector.sample(1e9 + 10 * number)
        sample_ms = (time.process_time() - began) * 1000 / LOOKS
        print(f"{count:5}   {look_ms:5.2f} ms   {first:8} bytes   {news:12} bytes   {sample_ms:6.2f} ms")


if __name__ == "__main__":
    main()
