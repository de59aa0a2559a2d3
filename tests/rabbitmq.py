"""RabbitMQ as a peer: an ordinary process with a name, folders and ports of its own, its MQTT plugin switched on.

A start costs some seconds of processor time, so all tests of a run share one server (`shared`), whichever worker asks
first: each takes names of its own. Who has to restart or kill it makes one for itself.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers import START_TIMEOUT_S, free_port, program, unavailable
from tests.shared import alone
from tests.shared import end as end_shared
from tests.shared import folder as shared_folder

BOOT_TIMEOUT_S = 90.0  # a machine that is busy: Erlang loads 400 modules
_PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the distribution's; the one on the path becomes another user
_READY = "Server startup complete"
_STATE = "rabbitmq.json"

_CONFIG = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
mqtt.listeners.tcp.1 = 127.0.0.1:{mqtt}
mqtt.allow_anonymous = true
mqtt.default_user = guest
mqtt.default_pass = guest
disk_free_limit.absolute = 1MB
max_message_size = 262144
log.console = true
log.console.level = info
log.file = false
"""


class RabbitMQ:
    """`with RabbitMQ(folder) as server: server.amqp_url, server.mqtt_url`. User and password: guest."""

    def __init__(self, folder: Path) -> None:
        if not _PROGRAM.exists():
            unavailable("RabbitMQ (Debian: rabbitmq-server)")
        self._epmd_program = program("epmd")
        self.folder = folder
        self.amqp_port, self.mqtt_port, self._epmd_port, self._dist_port = (free_port() for _ in range(4))
        self._log = folder / "output"
        self._process: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        config = _CONFIG.format(amqp=self.amqp_port, mqtt=self.mqtt_port)
        (folder / "rabbitmq.conf").write_text(config, encoding="ascii")
        (folder / "enabled_plugins").write_text("[rabbitmq_mqtt].\n", encoding="ascii")

    @property
    def amqp_url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.amqp_port}/"

    @property
    def mqtt_url(self) -> str:
        return f"mqtt://127.0.0.1:{self.mqtt_port}"

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    @property
    def pids(self) -> list[int]:
        """Of what runs, the server first."""
        return [each.pid for each in (self._process, self._epmd) if each]

    def _environment(self) -> dict[str, str]:
        folder = str(self.folder)
        return os.environ | {
            "HOME": folder,  # for Erlang's cookie
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"mqttlite{self._dist_port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/enabled_plugins",
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
            "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the server, so that its pid is ours
            # one scheduler: a node of one's own machine would take all processors for what it waits for
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none",
        }

    def start(self) -> None:
        """Starts it and returns when it listens."""
        assert self._process is None, "this RabbitMQ runs already"
        if self._epmd is None:
            command = [self._epmd_program, "-port", str(self._epmd_port), "-address", "127.0.0.1"]
            self._epmd = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        starts = self.log.count(_READY)
        with self._log.open("ab") as log:
            process = self._process = subprocess.Popen(
                [str(_PROGRAM)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
                cwd=self.folder,
                start_new_session=True,  # no signal of a terminal ends it before who shares it
            )
        deadline = time.monotonic() + BOOT_TIMEOUT_S
        while self.log.count(_READY) == starts:
            if process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"RabbitMQ did not start:\n{self.log}")
            time.sleep(0.05)

    def kill(self) -> None:
        """Ends the server with SIGKILL; it can be started again."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ends the server in good order; it can be started again."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(timeout=BOOT_TIMEOUT_S)

    def close(self) -> None:
        """Ends all of it."""
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(timeout=START_TIMEOUT_S)
            self._epmd = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Shared:
    """The server that all tests of this run use."""

    def __init__(self, amqp_port: int, mqtt_port: int) -> None:
        self.amqp_port = amqp_port
        self.mqtt_port = mqtt_port

    @property
    def amqp_url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.amqp_port}/"

    @property
    def mqtt_url(self) -> str:
        return f"mqtt://127.0.0.1:{self.mqtt_port}"


_here: RabbitMQ | None = None  # kept so that nothing takes its processes for ended


def shared() -> Shared:
    """Started by whichever worker asks first; `end_shared` ends it."""
    global _here
    with alone("rabbitmq") as folder:
        state = shared_folder() / _STATE
        if not state.exists():
            _here = server = RabbitMQ(folder)
            server.start()
            said = {"amqp": server.amqp_port, "mqtt": server.mqtt_port, "pids": server.pids}
            state.write_text(json.dumps(said), encoding="ascii")
        said = json.loads(state.read_text(encoding="ascii"))
    return Shared(said["amqp"], said["mqtt"])


def end_run() -> None:
    """All tests of a run have ended, and so do the processes that they have shared."""
    folder = end_shared()
    state = folder / _STATE
    if state.exists():
        for pid in json.loads(state.read_text(encoding="ascii"))["pids"]:
            _end(pid, str(folder))
        if _here is not None:
            _here.close()
    shutil.rmtree(folder, ignore_errors=True)


def _end(pid: int, mark: str) -> None:
    """Ends a process, if it is still the one whose environment names our folder."""
    try:
        if mark.encode() in Path(f"/proc/{pid}/environ").read_bytes():
            os.kill(pid, signal.SIGKILL)
            while Path(f"/proc/{pid}/environ").read_bytes():  # a zombie has none
                time.sleep(0.01)
    except OSError:
        pass
