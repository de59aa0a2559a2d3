"""What systemd hears of a gateway: that it is ready, how it is, that it stops; and nothing when it hangs."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqttlite.broker.operating import health
from mqttlite_gateway.config import load
from mqttlite_gateway.gateway import Gateway
from tests.broker.operating.test_systemd import Manager


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    found = Manager(str(tmp_path / "notify"))
    yield found
    found.socket.close()


def gateway(folder: Path, more: str) -> Gateway:
    path = folder / "gateway.toml"
    path.write_text(f'console = ""\n{more}[[serial]]\npath = "{folder}/no-port"\n')
    return Gateway(load(path))


async def test_it_is_ready_when_it_runs_says_how_it_is_and_that_it_stops(manager: Manager, tmp_path: Path) -> None:
    more = f'mode = "bridge"\nstore = "{tmp_path}/g.db"\nlisten = ["mqtt://127.0.0.1:0"]\n'
    running = asyncio.create_task(gateway(tmp_path, f"{more}[control]\nsocket = false\n").run())
    told = await manager.told()
    assert told["READY"] == "1"
    assert told["STATUS"].startswith("0 of 1 lines with a device; 0 clients, ")
    running.cancel()
    assert await manager.told() == {"STOPPING": "1"}
    await asyncio.gather(running, return_exceptions=True)


async def test_the_watchdog_is_fed_while_the_store_gets_on_and_an_upstream_that_is_away_is_no_reason_to_start_again(
    manager: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    found = gateway(
        tmp_path,
        f'mode = "bridge"\nstore = "{tmp_path}/g.db"\nlisten = ["mqtt://127.0.0.1:0"]\n[control]\nsocket = false\n'
        '[[upstream]]\nname = "cloud"\nurl = "mqtt://127.0.0.1:1"\nout = [{ filter = "#" }]\n',
    )
    running = asyncio.create_task(found.run())
    assert "cloud away, 0 queued" in (await manager.told())["STATUS"]
    for _ in range(3):
        assert (await manager.told()).get("WATCHDOG") == "1"
    monkeypatch.setattr(health, "STORE_S", -1.0)
    assert found.broker and found.broker.commit_gate
    found.broker.commit_gate.began_at = 1.0  # a commit that hangs
    told = await manager.told()
    while "WATCHDOG" in told:  # sent before that
        told = await manager.told()
    assert "the store has been busy with one commit for" in told["STATUS"]
    assert "WATCHDOG" not in await manager.told()
    found.broker.commit_gate.began_at = 0.0
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_in_forward_mode_it_is_told_too(manager: Manager, tmp_path: Path) -> None:
    running = asyncio.create_task(gateway(tmp_path, 'upstream = "mqtt://127.0.0.1:1"\n').run())
    assert (await manager.told())["STATUS"] == "0 of 1 lines with a device"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
