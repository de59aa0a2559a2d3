"""What a delivery ledger costs a broker: CPU for each message, bytes in its file, bytes written to the disk.

    python -m benchmarks.ledger [MESSAGES]
    python -m benchmarks.ledger verify [KEYS]      what `mqttlite verify` takes for two ledgers with so many (a million)

One client publishes at QoS 1, in reads of 20 messages, another one takes and acknowledges them; broker, engine and
ledger are in this process, and no socket is. The three cases take turns, so that a machine that gets slower meanwhile
is not taken for a difference.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

from mqttlite.broker.clients.peer import Peer
from mqttlite.broker.engine import Engine
from mqttlite.broker.limits import Limits
from mqttlite.broker.routing.router import Router
from mqttlite.broker.routing.witnessed import WitnessedRouter
from mqttlite.core.keys import wrap
from mqttlite.ledger import Ledger
from mqttlite.ledger.file import LedgerFile
from mqttlite.ledger.ledger import now_ms
from mqttlite.ledger.notes import ROWS_MAX, Notes
from mqttlite.ledger.steps import ACCEPTED, HANDLED

READ = 20  # messages in a read
ROUNDS = 5
MEASURED = """import sys, time
from pathlib import Path
from mqttlite.cli import main
main(sys.argv[1:])
most = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
print(f"{time.process_time():.1f} s of processor time, {int(most) >> 10} MiB at most")"""
CASES = ("no ledger", "a ledger, messages without keys", "a ledger, messages with keys")


def packet(first: int, body: bytes) -> bytes:
    """A packet of less than 16 KiB."""
    size = len(body)
    length = bytes((size,)) if size < 128 else bytes((size & 127 | 128, size >> 7))
    return bytes((first,)) + length + body


def connect(engine: Engine, name: bytes) -> Peer:
    """A client of 3.1.1."""
    peer = engine.open("127.0.0.1:1", now_ms())
    body = b"\0\4MQTT\4\2\0\0" + len(name).to_bytes(2, "big") + name
    engine.receive(peer, packet(0x10, body), now_ms())
    peer.out.clear()
    return peer


def published(case: str, start: int) -> bytes:
    """A read of PUBLISH packets."""
    data = b""
    for number in range(start, start + READ):
        payload = b"twenty bytes of data"
        if case == CASES[2]:
            payload = wrap((b"board-7", 1, number), payload)
        data += packet(0x32, b"\0\1t" + (number % 65535 + 1).to_bytes(2, "big") + payload)
    return data


def written() -> int:
    """Bytes that this process has given to the system to write."""
    return int(Path("/proc/self/io").read_text().split("wchar: ")[1].split()[0])


async def seldom(folder: Path, count: int) -> float:
    """Bytes written for a message that comes alone, each in a batch of its own."""
    async with Ledger(folder / "seldom.db", "bench") as ledger:
        begin = written()
        for number in range(count):
            for step, peer in ((0, b"board-7"), (1, b"cloud"), (2, b"cloud"), (3, b"cloud")):
                ledger.note(
                    step, (b"board-7", 1, number), peer, now_ms(), b"sensors/board-7/count" if not step else b""
                )
            await ledger.flush()
    return (written() - begin) / count


async def run(case: str, count: int, folder: Path) -> tuple[float, Ledger | None]:
    """Seconds of CPU for so many messages; the ledger, closed."""
    ledger = None if case == CASES[0] else Ledger(folder / f"{time.monotonic_ns()}.db", "bench")
    if ledger:
        await ledger.open()
    engine = Engine(Limits(), make_router=partial(WitnessedRouter, ledger) if ledger else Router)
    publisher, subscriber = connect(engine, b"publisher"), connect(engine, b"subscriber")
    engine.receive(subscriber, packet(0x82, b"\0\1\0\1t\1"), now_ms())
    subscriber.out.clear()
    reads = [published(case, start) for start in range(0, count, READ)]
    begin = time.process_time()
    for number, data in enumerate(reads):
        engine.receive(publisher, data, now_ms())
        publisher.out.clear()
        first = engine.sessions[b"subscriber"].session.first
        subscriber.out.clear()
        data = b"".join(b"\x40\2" + (seq % 65535 + 1).to_bytes(2, "big") for seq in range(first, first + READ))
        engine.receive(subscriber, data, now_ms())
        subscriber.out.clear()
        if not number % 50:
            await asyncio.sleep(0)
            if ledger and ledger.notes.is_full:
                await ledger.flush()  # no real client publishes as fast as this
    if ledger:
        await ledger.close()
    took = time.process_time() - begin
    assert not engine.sessions[b"subscriber"].session.queued
    return took, ledger


async def main(count: int) -> None:
    """Print a line for each case."""
    times: dict[str, list[float]] = {case: [] for case in CASES}
    ledgers: dict[str, Ledger | None] = {}
    sizes: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            for case in CASES:
                before = written()
                took, ledgers[case] = await run(case, count, Path(folder))
                sizes[case] = written() - before
                times[case].append(took)
        for case in CASES:
            line = f"{case:34} {1e6 * median(times[case]) / count:6.1f} µs for a message"
            ledger = ledgers[case]
            if ledger and case == CASES[2]:
                told = ledger.describe()
                line += f"; {told['entries'] / count:.1f} entries, {told['bytes'] / count:.0f} bytes of file"
                line += f", {sizes[case] / count:.0f} bytes written, {told['missed']} missed"
            print(line)
        print(f"a message that comes alone: {await seldom(Path(folder), 500):.0f} bytes written")


def fill(path: Path, step: int, keys: int, but: int = -1) -> None:
    """A ledger to which this has happened to all keys but one; of 50 producers, in turns."""
    file = LedgerFile(path, path.stem, keys, 1 << 40, 0)
    file.open()
    for start in range(0, keys, ROWS_MAX):
        notes = Notes()
        for number in range(start, min(keys, start + ROWS_MAX)):
            if number != but:
                notes.note(step, (b"board-%d" % (number % 50), 1, number // 50), b"board", number + 1, b"sensors/t", 20)
        file.write(notes.take(), 0, 0)
    file.close()


def verify(keys: int) -> None:
    """Print what it takes, and what it says."""
    with tempfile.TemporaryDirectory() as folder:
        start, end = Path(folder, "gateway.db"), Path(folder, "far.db")
        fill(start, ACCEPTED, keys)
        fill(end, HANDLED, keys, 7 * keys // 9)
        for words in (("verify", "--help"), ("verify", str(start), str(end))):
            done = subprocess.run([sys.executable, "-c", MEASURED, *words], capture_output=True, text=True)
            print("\n    ".join(done.stdout.splitlines()[-2:]))


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["verify"]:
        verify(int(words[1]) if words[1:] else 1_000_000)
    else:
        asyncio.run(main(int(words[0]) if words else 20_000))
