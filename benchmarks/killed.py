"""`kill -9` of our broker within microseconds of a random acknowledgement, while its publisher goes on.

    python -m benchmarks.killed [--trials N] [--messages N] [--qos Q] [--seed S]

A publisher with a window of 20 sends numbered messages to a session that is away. When it reads the acknowledgement
that was drawn (PUBACK, PUBREC or PUBCOMP), it kills the broker, reads what the kernel still has, and goes on with the
next life of the broker as the standard has it: PUBREL for what PUBREC has come for, PUBLISH with DUP for the rest of
its window. Then the session is fetched. Counted: messages that are missing; messages that came twice (at QoS 1 without
those that had to be sent twice); those out of order. Exit code 1 when there are any.
"""

import argparse
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

from benchmarks.broker_cpu import free_port
from benchmarks.broker_durable import durable, subscribe_and_leave
from mqttlite.core.codec import acknowledgement, publish_head
from mqttlite.core.packet_types import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL
from mqttlite.core.wire4 import encode_connect

WINDOW = 20
TOPIC = b"killed/1"
TIMEOUT_S = 60.0
DUP = 8
SPAN = 65535


class Outcome(NamedTuple):
    acknowledged: int  # when the broker was killed
    lost: int
    twice: int
    out_of_order: int
    came_again: int  # had to be sent twice, and came twice: at QoS 1
    seconds: float  # from the kill until the next life listens


class Client:
    """A connection of a session that stays."""

    def __init__(self, port: int, name: bytes) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.sendall(encode_connect(name, False, 0))
        self._rest = b""
        ((first, _),) = self.packets(1)
        assert first == 0x20

    def packets(self, most: int = 0) -> list[tuple[int, bytes]]:
        """What has come: first byte and body of each packet; empty: the connection has ended. All are short."""
        found: list[tuple[int, bytes]] = []
        data = self._rest
        while True:
            at = 0
            while len(data) - at >= 2 and len(data) - at >= 2 + data[at + 1] and (not most or len(found) < most):
                found.append((data[at], data[at + 2 : at + 2 + data[at + 1]]))
                at += 2 + data[at + 1]
            self._rest = data[at:]
            if found:
                return found
            try:
                more = self.sock.recv(1 << 16)
            except ConnectionError:
                return []
            if not more:
                return []
            data = self._rest + more


class Sender:
    """Publishes numbered messages; it remembers what is unfinished over connections."""

    def __init__(self, qos: int, count: int) -> None:
        self.qos = qos
        self._count = count
        self._head = publish_head(qos << 1, TOPIC, 8)
        self.next = 0
        self.unfinished: dict[int, bool] = {}  # number: whether PUBREC has come
        self.acknowledged: set[int] = set()  # the broker has said that it has it
        self.repeated: set[int] = set()

    def _publish(self, number: int, dup: bool) -> bytes:
        head = bytes((self._head[0] | DUP,)) + self._head[1:] if dup else self._head
        return head + (number % SPAN + 1).to_bytes(2, "big") + number.to_bytes(8, "big")

    def again(self) -> bytes:
        """What has to be sent first on another connection [MQTT-4.4.0-1]."""
        out = b""
        for number, is_released in self.unfinished.items():
            if is_released:
                out += acknowledgement(PUBREL, number % SPAN + 1)
            else:
                self.repeated.add(number)
                out += self._publish(number, True)
        return out

    def more(self) -> bytes:
        """New messages, as far as the window allows."""
        out = []
        while self.next < self._count and len(self.unfinished) < WINDOW:
            out.append(self._publish(self.next, False))
            self.unfinished[self.next] = False
            self.next += 1
        return b"".join(out)

    def take(self, first: int, body: bytes) -> bytes:
        """An acknowledgement; the answer."""
        packet_id = int.from_bytes(body[:2], "big")
        number = next(each for each in self.unfinished if each % SPAN + 1 == packet_id)
        self.acknowledged.add(number)
        if first == PUBREC:
            self.unfinished[number] = True
            return acknowledgement(PUBREL, packet_id)
        assert first == (PUBACK if self.qos == 1 else PUBCOMP)
        del self.unfinished[number]
        return b""


def start(port: int, folder: Path) -> subprocess.Popen[bytes]:
    """A life of the broker, once it listens."""
    process = subprocess.Popen(
        durable(port, folder), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), TIMEOUT_S).close()
            return process
        except ConnectionRefusedError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the broker does not listen") from None
            time.sleep(0.005)


def trial(folder: Path, qos: int, count: int, seed: int) -> Outcome:
    """One kill, and what comes of it."""
    chance = random.Random(seed)
    port = free_port()
    process = start(port, folder)
    try:
        subscribe_and_leave(port, b"killed/#")
        sender = Sender(qos, count)
        until_kill = chance.randrange(1, count * (2 if qos == 2 else 1))
        client = Client(port, b"sender")
        client.sock.sendall(sender.more())
        seen = 0
        killed_at = 0.0
        while packets := client.packets():
            out = b""
            for packet in packets:
                seen += 1
                if seen == until_kill:
                    os.kill(process.pid, signal.SIGKILL)
                    killed_at = time.monotonic()
                out += sender.take(*packet)
            if not killed_at:
                client.sock.sendall(out + sender.more())
        client.sock.close()
        acknowledged = len(sender.acknowledged)
        process.wait()
        process = start(port, folder)
        took = time.monotonic() - killed_at
        client = Client(port, b"sender")
        client.sock.sendall(sender.again() + sender.more())
        while sender.unfinished:
            out = b""
            for packet in client.packets():
                out += sender.take(*packet)
            client.sock.sendall(out + sender.more())
        client.sock.sendall(b"\xe0\0")
        client.sock.close()
        got = fetch(port, qos, count)
    finally:
        process.kill()
        process.wait()
    first_time = list(dict.fromkeys(got))
    again = len(got) - len(first_time)
    allowed = sum(got.count(number) - 1 for number in sender.repeated if number in got) if qos == 1 and again else 0
    return Outcome(
        acknowledged,
        count - len(first_time),
        again - allowed,
        sum(later < earlier for earlier, later in itertools.pairwise(first_time)),
        allowed,
        took,
    )


def fetch(port: int, qos: int, count: int) -> list[int]:
    """All numbers that the session gets, in order."""
    client = Client(port, b"away")
    client.sock.settimeout(5.0)
    got: list[int] = []
    unreleased: deque[int] = deque()
    while len(set(got)) < count or unreleased:
        try:
            packets = client.packets()
        except TimeoutError:
            break  # the rest is lost
        out = b""
        for first, body in packets:
            if first & 0xF0 == PUBLISH:
                at = 2 + len(TOPIC)
                got.append(int.from_bytes(body[at + 2 :], "big"))
                out += acknowledgement(PUBACK if qos == 1 else PUBREC, int.from_bytes(body[at : at + 2], "big"))
                if qos == 2:
                    unreleased.append(got[-1])
            elif first == PUBREL:
                unreleased.popleft()
                out += acknowledgement(PUBCOMP, int.from_bytes(body, "big"))
        client.sock.sendall(out)
    client.sock.close()
    return got


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="kills for each QoS (20)")
    parser.add_argument("--messages", type=int, default=5000, metavar="N", help="messages in each (5000)")
    parser.add_argument("--qos", type=int, action="append", choices=(1, 2), help="only this one")
    parser.add_argument("--seed", type=int, default=1, help="of the first trial (1)")
    args = parser.parse_args()
    wrong = 0
    print(
        "QoS  trials  messages  acknowledged before the kill  lost  twice  out of order  sent and come twice  up again"
    )
    for qos in args.qos or (1, 2):
        outcomes = []
        for number in range(args.trials):
            with tempfile.TemporaryDirectory() as folder:
                outcome = trial(Path(folder), qos, args.messages, args.seed + number)
            outcomes.append(outcome)
            if outcome[1:4] != (0, 0, 0):
                print(f"seed {args.seed + number}: {outcome}", file=sys.stderr)
        _, lost, twice, disorder, again, _ = (sum(column) for column in zip(*outcomes, strict=True))
        before = sorted(outcome.acknowledged for outcome in outcomes)
        slowest = max(outcome.seconds for outcome in outcomes)
        print(
            f"{qos:3} {args.trials:7} {args.trials * args.messages:9} {f'{before[0]} to {before[-1]}':>29} {lost:5}"
            f" {twice:6} {disorder:13} {again:20} {slowest:6.1f} s",
            flush=True,
        )
        wrong += int(lost + twice + disorder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
