"""What systemd is told, by a datagram socket in its place; its own program reads the unit."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqttlite.broker import Broker
from mqttlite.broker.operating import health, systemd
from mqttlite.broker.operating.systemd import Service
from tests.broker.raw import TIMEOUT_S, port_of
from tests.cli.control.test_ctl import broker, ctl
from tests.peers import unavailable
from tests.runtimes import ROOT

ANY = ["mqtt://127.0.0.1:0"]
UNIT = ROOT / "gateway/systemd/mqttlite-broker.service"


class Manager:
    """The socket on which systemd listens."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)

    async def told(self) -> dict[str, str]:
        """The next datagram."""
        async with asyncio.timeout(TIMEOUT_S):
            data = await asyncio.get_running_loop().sock_recv(self.socket, 65536)
        return dict(line.split("=", 1) for line in data.decode().split("\n"))


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    found = Manager(str(tmp_path / "notify"))
    yield found
    found.socket.close()


async def test_it_is_ready_once_it_listens_and_says_that_it_stops(manager: Manager) -> None:
    async with Broker(ANY) as running:
        async with Service(running):
            told = await manager.told()
            assert told["READY"] == "1"
            assert told["STATUS"].startswith("0 clients, 0 sessions; 0 received")
            with socket.create_connection(("127.0.0.1", port_of(running.addresses[0]))):
                pass
        assert await manager.told() == {"STOPPING": "1"}


async def test_the_watchdog_is_fed_while_loop_and_store_get_on(
    manager: Manager, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    async with Broker(ANY, store=tmp_path / "b.db") as running, Service(running):
        assert (await manager.told())["READY"] == "1"
        for _ in range(3):
            assert (await manager.told()).get("WATCHDOG") == "1"
        monkeypatch.setattr(health, "STORE_S", -1.0)
        assert running.commit_gate
        running.commit_gate.began_at = 1.0  # a commit that hangs
        told = await manager.told()
        while "WATCHDOG" in told:  # sent before that
            told = await manager.told()
        assert "the store has been busy with one commit for" in told["STATUS"]
        assert "WATCHDOG" not in await manager.told()
        running.commit_gate.began_at = 0.0
        told = await manager.told()
        while "WATCHDOG" not in told:
            told = await manager.told()
    assert "the service manager will restart this broker" in caplog.text


async def test_without_a_service_manager_nothing_is_told_and_no_timer_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    async with Broker(ANY) as running, Service(running) as service:
        assert service._timer is None


@pytest.mark.parametrize(("usec", "pid", "seconds"), [("5000000", "", 5.0), ("5000000", "1", 0.0), ("x", "", 0.0)])
def test_the_watchdog_of_another_process_is_not_ours(
    monkeypatch: pytest.MonkeyPatch, usec: str, pid: str, seconds: float
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert systemd.watchdog_s() == seconds


async def test_an_abstract_socket_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"mqttlite-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
    found = Manager("\0" + name)
    try:
        systemd.notify(READY="1")
        assert await found.told() == {"READY": "1"}
    finally:
        found.socket.close()


def test_a_manager_that_is_gone_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    systemd.notify(READY="1")
    assert "the service manager cannot be told" in caplog.text


async def test_the_command_tells_of_its_beginning_reloads_and_end(manager: Manager, tmp_path: Path) -> None:
    async with broker(tmp_path) as (process, _, _):
        assert "READY" in await manager.told()
        process.send_signal(signal.SIGHUP)
        told = await manager.told()
        assert told["RELOADING"] == "1"
        assert int(told["MONOTONIC_USEC"]) > 0
        assert (await manager.told())["READY"] == "1"
        await ctl(tmp_path, "reload")
        assert "RELOADING" in await manager.told()
        assert "READY" in await manager.told()
        process.send_signal(signal.SIGTERM)
        assert await manager.told() == {"STOPPING": "1"}
        assert await process.wait() == 0


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Its own program finds nothing to say about it. (That programs are where it says is not looked at here.)"""
    program = shutil.which("systemd-analyze") or unavailable("systemd-analyze")
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/mqttlite/bin/mqttlite", "/bin/true"))
    done = subprocess.run([program, "verify", str(copy)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Type=notify\n" in copy.read_text()
