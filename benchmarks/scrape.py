"""What it costs the broker when Prometheus reads its metrics: `python -m benchmarks.scrape`. Processor time."""

import asyncio
import time

from mqttlite.broker import Broker
from mqttlite.broker.clients.client_session import ClientSession
from mqttlite.broker.operating.loop_watch import LoopWatch
from mqttlite.broker.operating.metrics import exposition

SESSIONS = 10_000
FILTERS = 10  # of each


def cost_ms(broker: Broker, watch: LoopWatch) -> float:
    """Of one page."""
    times = []
    for _ in range(10):
        began = time.process_time()
        exposition(broker, watch)
        times.append(time.process_time() - began)
    return 1000 * min(times)


async def main() -> None:
    """Print both."""
    async with Broker(["mqtt://127.0.0.1:0"]) as broker, LoopWatch() as watch:
        print(f"no session: {cost_ms(broker, watch):.2f} ms, {len(exposition(broker, watch))} bytes")
        engine = broker.engine
        for number in range(SESSIONS):
            client = ClientSession(b"%d" % number, False, engine.limits, engine.ledger)
            client.subscriptions.update({b"a/%d/%d" % (number, n): 1 for n in range(FILTERS)})
            engine.sessions[client.client_id] = client
        print(f"{SESSIONS:,} sessions, {SESSIONS * FILTERS:,} subscriptions: {cost_ms(broker, watch):.2f} ms")
        engine.sessions.clear()


if __name__ == "__main__":
    asyncio.run(main())
