"""What a gateway writes to its disk: syncs and bytes for each message, and what that means for an SD card.

    python -m benchmarks.gateway_writes [--count N] [--sync MS]

A publisher sends messages of 64 bytes to `mqttlite gateway` in bridge mode, one after the other and 20 at once; the
upstream is another broker of ours, or away, so that all of it is queued. All writes and syncs of the gateway's process
are counted (benchmarks/disk.py); behind each run it is left alone for 5 s, and what it writes then is counted, too.
Needs a C compiler; Linux. Years: of a card of 32 GB, with one message in 10 s, as `mqttlite doctor` counts them.
"""

import argparse
import contextlib
import time
from pathlib import Path

from benchmarks.broker_cpu import ROOT, free_port, ours, running
from benchmarks.broker_durable import publish
from benchmarks.broker_load import Publisher
from benchmarks.disk import Written, disk
from mqttlite_gateway.operating.doctor.wear import years

CARD = 32_000_000_000
EVERY_S = 10
IDLE_S = 5.0
SETTLE_S = 3.0


def gateway(port: int, folder: Path, upstream: int) -> list[str]:
    """The command, with settings of its own in a folder."""
    settings = folder / "gateway.toml"
    settings.write_text(
        f'mode = "bridge"\nstore = "{folder}/gateway.db"\nlisten = ["mqtt://127.0.0.1:{port}"]\nconsole = ""\n'
        f'status_topic = "gateway"\nstatus_every_s = 1\n[control]\nsocket = false\n[[upstream]]\nname = "cloud"\n'
        f'url = "mqtt://127.0.0.1:{upstream}"\nout = [{{ filter = "bench/#" }}]\nstart_jitter_s = 0\n'
    )
    return [*ours(port)[:3], "gateway", "--config", str(settings)]


def measure(qos: int, window: int, count: int, sync_ms: float, *, is_away: bool) -> tuple[Written, Written]:
    """One run: what `count` messages have cost, and what the time behind them has."""
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(disk(sync_ms))
        port, upstream = free_port(), free_port()
        if not is_away:
            stack.enter_context(running(ours(upstream), upstream))
        stack.enter_context(running(gateway(port, place.folder, upstream), port, ROOT, place.environment))
        time.sleep(SETTLE_S)  # the bridge has connected
        before = place.written()
        one_by_one(port, qos, count) if window == 1 else publish(port, qos, 1, count)
        time.sleep(SETTLE_S)  # all has gone upstream
        cost = place.written().since(before)
        before = place.written()
        time.sleep(IDLE_S)
        return cost, place.written().since(before)


def one_by_one(port: int, qos: int, count: int) -> None:
    """Each message when the one before is acknowledged."""
    publisher = Publisher(port, 0, b"bench/topic", qos, count, 1, [], 4)
    while publisher.finished < count:
        publisher.send()
        publisher.readable()
    publisher.sock.close()


def main() -> None:
    """Command line."""
    what = (__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway_writes", description=what)
    parser.add_argument("--count", type=int, default=300, help="messages of a run (300)")
    parser.add_argument("--sync", type=float, default=5.0, metavar="MS", help="how long a sync takes (5)")
    args = parser.parse_args()
    print(f"{args.count} messages of 64 bytes, a sync takes {args.sync:g} ms; years: 32 GB, a message in {EVERY_S} s\n")
    print("upstream  QoS  at once  syncs/message  bytes/message  idle syncs  idle bytes   years")
    for is_away in (False, True):
        for qos, window in ((1, 1), (2, 1), (1, 20), (2, 20)):
            cost, idle = measure(qos, window, args.count, args.sync, is_away=is_away)
            each = cost.bytes / args.count
            print(
                f"{'away' if is_away else 'there':8}  {qos:3}  {window:7}  {cost.syncs / args.count:13.2f}"
                f"  {each:13.0f}  {idle.syncs:10}  {idle.bytes:10}  {years(CARD, each / EVERY_S):6.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
