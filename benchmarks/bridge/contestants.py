"""The bridges, each as processes that can be killed: a broker for the devices, and what takes its messages upstream."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from tests.peers import Mosquitto, free_port

START_S = 60.0
TOPIC = "t/x"
KEEP_ALIVE_S = 5  # of all of them to their upstream: Mosquitto takes no less


class Programs:
    """Processes of a contestant, with their processor time."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []
        self._spent_s = 0.0

    def run(self, command: list[str], log: Path) -> None:
        with log.open("ab") as file:
            self._running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file))

    def adopt(self, process: "subprocess.Popen[bytes]") -> None:
        self._running.append(process)

    def kill(self) -> None:
        self._end("kill")

    def stop(self) -> None:
        self._end("terminate")

    def _end(self, how: str) -> None:
        self._spent_s = self.cpu_s
        running, self._running = self._running, []
        for each in reversed(running):
            getattr(each, how)()
            each.wait()

    @property
    def cpu_s(self) -> float:
        return self._spent_s + sum(_stat(each.pid) for each in self._running)

    @property
    def memory_mb(self) -> float:
        return sum(_memory(each.pid) for each in self._running)


def _stat(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def answers(port: int) -> None:
    """Wait until an MQTT broker does."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), START_S) as knock:
            knock.sendall(b"\x10\x0c\0\4MQTT\4\2\0\0\0\0")
            if knock.recv(4):
                return
        time.sleep(0.02)
    raise RuntimeError(f"nothing answers at port {port} within {START_S:g} s")


class Contestant:
    """`port`: where devices connect; `_programs`: what it consists of. Made with the folder of all that it keeps, and
    the port of the upstream.
    """

    name: str
    port: int
    _programs: Programs

    def start(self) -> None:
        """Returns when it answers."""
        raise NotImplementedError

    def kill(self) -> None:
        """SIGKILL to all of it."""
        self._programs.kill()

    def stop(self) -> None:
        """SIGTERM, and it ends in good order."""
        self._programs.stop()

    @property
    def cpu_s(self) -> float:
        """Processor time of all its lives."""
        return self._programs.cpu_s

    @property
    def memory_mb(self) -> float:
        """Of the life that runs now."""
        return self._programs.memory_mb


class Ours(Contestant):
    """`mqttlite gateway` in bridge mode."""

    name = "mqttlite gateway"
    missing = ""

    def __init__(self, folder: Path, upstream: int) -> None:
        self.port = free_port()
        self._folder = folder
        self._programs = Programs()
        (folder / "gateway.toml").write_text(
            f"""\
mode = "bridge"
store = "{folder}/gateway.db"
console = ""
listen = ["mqtt://127.0.0.1:{self.port}"]
[control]
socket = false
[[upstream]]
name = "up"
url = "mqtt://127.0.0.1:{upstream}"
out = [{{ filter = "t/#" }}]
queue_bytes = "1 GiB"
keep_alive_s = {KEEP_ALIVE_S}
ack_timeout_s = {KEEP_ALIVE_S}
start_jitter_s = 0
reconnect_min_s = 0.5
reconnect_max_s = 1
""",
            encoding="utf-8",
        )

    def start(self) -> None:
        command = [sys.executable, "-m", "mqttlite", "gateway", "--config", str(self._folder / "gateway.toml")]
        self._programs.run(command, self._folder / "log")
        answers(self.port)


class Mosquittos(Contestant):
    """Mosquitto and its own bridge, which writes its whole state at each change."""

    name = "Mosquitto, autosave at each change"
    missing = ""
    settings: ClassVar[dict[str, object]] = {}
    bridge = True

    def __init__(self, folder: Path, upstream: int) -> None:
        settings: dict[str, object] = {"max_queued_messages": 0, "log_type": "notice"} | self.settings
        if self.bridge:
            settings |= {
                "connection": "up",
                "address": f"127.0.0.1:{upstream}",
                "topic": "t/# out 2",
                "cleansession": "false",
                "remote_clientid": "bridge",
                "notifications": "false",
                "restart_timeout": "1 1",
                "keepalive_interval": KEEP_ALIVE_S,
            }
        self._mosquitto = Mosquitto(folder, settings=settings)
        self.port = self._mosquitto.port
        self._programs = Programs()

    def start(self) -> None:
        self._mosquitto.start()
        process, self._mosquitto._process = self._mosquitto._process, None
        assert process
        self._programs.adopt(process)


class MosquittosDefault(Mosquittos):
    """As Debian's configuration has it: saved every half an hour, and at the end."""

    name = "Mosquitto, as installed"
    settings: ClassVar[dict[str, object]] = {"autosave_on_changes": "false", "autosave_interval": 1800}


_ROUTE = """
import sys
from mq_bridge import Route
here, there, keep_alive = map(int, sys.argv[1:])
mqtt = {"qos": 2, "clean_session": False, "protocol": "v3", "keep_alive_seconds": keep_alive}
Route.from_config({
    "input": {"mqtt": {"url": f"tcp://127.0.0.1:{here}", "topic": "t/x", "client_id": "source", **mqtt}},
    "output": {"mqtt": {"url": f"tcp://127.0.0.1:{there}", "topic": "t/x", "client_id": "sink", **mqtt}},
}, "up").run()
"""


class MqBridge(Mosquittos):
    """mq-bridge (PyPI), from Mosquitto to the upstream. (Without its middleware for retries, with which its version
    1.2.0 has acknowledged, here, what it then did not pass on.)
    """

    name = "mq-bridge, from Mosquitto"
    missing = "" if find_spec("mq_bridge") else "pip install mq-bridge-basic"
    bridge = False

    def __init__(self, folder: Path, upstream: int) -> None:
        super().__init__(folder, upstream)
        self._folder = folder
        self._upstream = upstream

    def start(self) -> None:
        super().start()
        command = [sys.executable, "-c", _ROUTE, str(self.port), str(self._upstream), str(KEEP_ALIVE_S)]
        self._programs.run(command, self._folder / "route.log")


ALL: "dict[str, type[Ours] | type[Mosquittos]]" = {
    "ours": Ours,
    "mosquitto": Mosquittos,
    "mosquitto-default": MosquittosDefault,
    "mq-bridge": MqBridge,
}
