"""What idle connections cost the broker: memory of its process for each, and how many it lets in a second.

    python -m benchmarks.broker_connections [--connections 10000] [--compiled]

Clients are bare sockets in this process: each connects, sends CONNECT (clean session, keep alive 60 s), reads CONNACK.
Memory is what the kernel says of the broker's process (Pss of /proc/PID/smaps_rollup), before and after; what the
kernel itself needs for a socket is not in it. `--at-once` clients connect at a time; this process takes its part of the
machine, so the broker's processor time for each connection stands beside how many there were a second.
"""

import argparse
import contextlib
import re
import resource
import selectors
import socket
import time
from pathlib import Path

from benchmarks.broker_cpu import COMPILED, ROOT, cpu_us, free_port, ours, running
from mqttlite.core.wire4 import encode_connect

LIMITS = ("connections", "half_open")  # those that are lower here; limits by address do not hold for this machine


def memory_kb(pid: int) -> int:
    """Of a process, its share of what it shares included."""
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii"), re.MULTILINE)
    assert found
    return int(found[1])


def connect_all(port: int, first: int, count: int, at_once: int) -> list[socket.socket]:
    """`count` connections that have their CONNACK, `at_once` of them under way."""
    selector = selectors.DefaultSelector()
    done: list[socket.socket] = []
    begun = 0
    while len(done) < count:
        while begun < count and begun - len(done) < at_once:
            sock = socket.socket()
            sock.connect(("127.0.0.1", port))  # without a look at names: this process has to be the quicker one
            sock.sendall(encode_connect(b"idle-%d" % (first + begun), True, 60))
            selector.register(sock, selectors.EVENT_READ)
            begun += 1
        for key, _ in selector.select(30):
            sock = key.fileobj  # type: ignore[assignment]
            answer = sock.recv(16)
            if answer != b"\x20\2\0\0":
                raise SystemExit(f"connection {len(done)} was answered {answer.hex(' ') or 'with the end'}")
            selector.unregister(sock)
            done.append(sock)
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=10_000, metavar="N", help="(10000)")
    parser.add_argument("--at-once", type=int, default=50, metavar="N", help="clients that connect at a time (50)")
    parser.add_argument("--watch-s", type=float, default=5, metavar="S", help="how long they are watched idle (5)")
    parser.add_argument("--compiled", action="store_true", help="the build of `make compiled`")
    args = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < args.connections + 100:
        raise SystemExit(f"{hard} files may be open here; {args.connections + 100} are needed (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the broker has it from here
    port = free_port()
    command = ours(port)
    for name in LIMITS:
        command += ["--limit", f"{name}={args.connections + 100}"]
    with contextlib.ExitStack() as stack:
        pid = stack.enter_context(running(command, port, COMPILED if args.compiled else ROOT))
        warm = connect_all(port, 1_000_000, 20, 20)
        before = memory_kb(pid)
        used, began = cpu_us(pid), time.monotonic()
        idle = connect_all(port, 0, args.connections, args.at_once)
        took = time.monotonic() - began
        used = cpu_us(pid) - used
        after = memory_kb(pid)
        time.sleep(args.watch_s / 5)
        ticking = cpu_us(pid)
        time.sleep(args.watch_s)
        ticking = (cpu_us(pid) - ticking) / args.watch_s
        each = (after - before) / args.connections
        print(f"{args.connections} idle connections: {each:.2f} kB each ({before} kB before, {after} kB with them)")
        print(
            f"{args.connections / took:.0f} connects a second ({args.at_once} at a time); "
            f"{used / args.connections:.0f} us of the broker's processor time each"
        )
        print(f"idle, the broker takes {ticking / 1000:.2f} ms of processor time a second")
        for sock in [*warm, *idle]:
            sock.close()


if __name__ == "__main__":
    main()
