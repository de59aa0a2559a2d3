"""Who runs: a client, as producer and as consumer, and a broker.

Each program is called as `PROGRAM URL FOLDER QOS COUNT`. A producer publishes the numbers below COUNT to the topic of
tests/crash/producer.py, notes in FOLDER/accepted what the client has taken, goes on after that when it was killed, and
ends with code 0 when all is confirmed. A consumer prints "ready" when it is subscribed, and writes each number that its
handler gets where `handled_in` finds it.
"""

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.chaos.peers import HANDLED
from tests.crash.harness import Ledger, own_command
from tests.crash.producer import numbers_in
from tests.peers import program
from tests.runtimes import NODE_MODULES, installed

PEERS = Path(__file__).parent / "peers"


class Client(NamedTuple):
    """A client library in the hands of an application."""

    name: str
    command: Callable[[str, str, Path, int, int], list[str]]  # role, URL, folder, QoS, count
    handled_in: Callable[[Path], list[int]]  # numbers in the order in which they were handled
    consumer_ends: bool = False  # by itself, when it has got a message to itself after the last one
    is_ours: bool = False


class Pair(NamedTuple):
    """A row of the table."""

    name: str
    client: Client
    broker: str  # one of brokers.NAMES


def _notes(folder: Path) -> list[int]:
    return numbers_in(folder / HANDLED)


def _own(role: str, url: str, folder: Path, qos: int, count: int) -> list[str]:
    return own_command(role, url, folder, qos, count)


def _paho(role: str, url: str, folder: Path, qos: int, count: int) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.chaos.peers.paho_{role}", url, str(folder), str(qos), str(count)]


def _mqttjs(role: str, url: str, folder: Path, qos: int, count: int) -> list[str]:
    return [program("node"), str(PEERS / f"mqttjs_{role}.cjs"), url, str(folder), str(qos), str(count)]


MQTTLITE = Client(
    "mqttlite",
    _own,
    lambda folder: Ledger(folder / "application.db").numbers(),
    consumer_ends=True,
    is_ours=True,
)
PAHO = Client("paho-mqtt", _paho, _notes)
MQTTJS = Client("MQTT.js", _mqttjs, _notes)

PAIRS = (
    Pair("mqttlite", MQTTLITE, "mqttlite"),
    Pair("mqttlite-mosquitto", MQTTLITE, "mosquitto"),
    Pair("paho-mosquitto", PAHO, "mosquitto"),
    Pair("mqttjs-mosquitto", MQTTJS, "mosquitto"),
    Pair("paho-mqttlite", PAHO, "mqttlite"),
)


def environment(keep_alive_s: int) -> dict[str, str]:
    """What every program finds in its environment besides ours."""
    return {"KEEP_ALIVE": str(keep_alive_s), "NODE_PATH": str(NODE_MODULES)}


def missing(pair: Pair) -> str:
    """What this machine lacks to run `pair`; empty when it lacks nothing."""
    if pair.broker == "mosquitto" and not installed("mosquitto"):
        return "Mosquitto is not installed"
    if pair.client is PAHO:
        try:
            importlib.metadata.version("paho-mqtt")
        except importlib.metadata.PackageNotFoundError:
            return "paho-mqtt is not installed"
    if pair.client is MQTTJS and not (installed("node") and (NODE_MODULES / "mqtt").is_dir()):
        return "node or MQTT.js is not installed"
    return ""


def versions(pairs: Sequence[Pair]) -> list[str]:
    """Names and versions of the peers in `pairs`."""
    said = []
    if any(pair.broker == "mosquitto" for pair in pairs):
        told = subprocess.run([program("mosquitto"), "-h"], capture_output=True, text=True).stdout.split()
        said.append(f"Mosquitto {told[2]}")
    if any(pair.client is PAHO for pair in pairs):
        said.append(f"paho-mqtt {importlib.metadata.version('paho-mqtt')}")
    if any(pair.client is MQTTJS for pair in pairs):
        package = json.loads((NODE_MODULES / "mqtt" / "package.json").read_text(encoding="utf-8"))
        said.append(f"MQTT.js {package['version']}")
    return said
