"""The client's processor time for each message, as source and compiled, beside paho-mqtt, gmqtt and mqttium in the same
run, against Mosquitto; and what share that is of the better of gmqtt and mqttium, in memory.

    python -m benchmarks.client_cpu [--repeat N] [--count N] [--version 5.0] [--clients mqttlite gmqtt …]

Only the client's own process counts (user and system): each run is a process of its own (client_worker), and what a
receiver receives comes from another one. Repetitions of the clients alternate; the table has their medians.

While messages arrive one by one ("receive"), most of the time goes into being woken, and how many come at once is up to
the scheduler: the quicker client is woken more often. So "queued" stops the receiver until all of them are at the
broker: then each client reads pieces of the same size.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.broker_cpu import COMPILED, ROOT, free_port, mosquitto, running

OURS = ("mqttlite", "compiled")
RIVALS = ("gmqtt", "mqttium")  # the cheapest of all known
CLIENTS = (*OURS, "paho-mqtt", *RIVALS)
OTHER_WAYS = ("comfort",)  # publish_many, and a subscription's own iterator: on request
GOAL = 0.5  # of the better of RIVALS, at most
TIMEOUT_S = 120


def worker(client: str, *words: object) -> "subprocess.Popen[str]":
    project = COMPILED if client == "compiled" else ROOT
    name = "mqttlite" if client == "compiled" else client
    command = [sys.executable, "-m", "benchmarks.client_worker", name, *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(project)}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=project, env=environment
    )


def result(process: "subprocess.Popen[str]") -> float:
    """What a worker measured: microseconds for each message."""
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise SystemExit(err.strip() or f"a worker ended with {process.returncode}")
    return float(out.split()[-1])


def measure(client: str, what: str, qos: int, count: int, port: int, version: str) -> float:
    process = worker(client, "publish" if what == "publish" else "receive", qos, count, port, version)
    if what != "publish":
        assert process.stdout is not None
        process.stdout.readline()  # "ready"
        if what == "queued":
            process.send_signal(signal.SIGSTOP)
        result(worker("mqttlite", "load", qos, count, port))
        process.send_signal(signal.SIGCONT)
    return result(process)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="repetitions of each client (5)")
    parser.add_argument("--count", type=int, default=5000, metavar="N", help="messages in each (5000)")
    parser.add_argument("--version", default="3.1.1", choices=("3.1.1", "5.0"), help="of MQTT (3.1.1)")
    parser.add_argument(
        "--clients",
        nargs="+",
        default=CLIENTS,
        choices=(*CLIENTS, *OTHER_WAYS),
        help="which of them (all, but comfort: publish_many, subscription)",
    )
    args = parser.parse_args()
    clients = [client for client in args.clients if client != "compiled" or COMPILED.exists()]
    port = free_port()
    cases = [(what, qos) for what in ("publish", "receive", "queued") for qos in (0, 1, 2)]
    figures: dict[tuple[str, str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, running(mosquitto(port, Path(folder)), port):
        for _ in range(args.repeat):
            for what, qos in cases:
                for client in clients:
                    taken = measure(client, what, qos, args.count, port, args.version)
                    figures.setdefault((client, what, qos), []).append(taken)
    medians = {case: statistics.median(taken) for case, taken in figures.items()}
    print(f"Processor time of the client, MQTT {args.version}, µs per message of 64 bytes; medians of {args.repeat}\n")
    print(f"{'':12}" + "".join(f"{what + ' QoS ' + str(qos):>16}" for what, qos in cases))
    for client in clients:
        print(f"{client:12}" + "".join(f"{medians[client, *case]:16.1f}" for case in cases))
    rivals = [client for client in clients if client in RIVALS]
    if not rivals:
        return
    print(f"\nShare of the better of {' and '.join(rivals)} (we want at most {GOAL})")
    for client in clients:
        if client in OURS:
            shares = [medians[client, *case] / min(medians[rival, *case] for rival in rivals) for case in cases]
            print(f"{client:12}" + "".join(f"{share:16.2f}" for share in shares))


if __name__ == "__main__":
    main()
