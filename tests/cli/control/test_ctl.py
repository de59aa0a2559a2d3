"""`mqttlite ctl` as an operator uses it, with `mqttlite broker` as its peer."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.broker.raw import TIMEOUT_S, RawClient
from tests.peers import end, run
from tests.runtimes import ROOT

MQTTLITE = (sys.executable, "-m", "mqttlite")


@asynccontextmanager
async def broker(folder: Path, *args: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int, list[str]]]:
    """`mqttlite broker`, its port, and what its log has said so far; its run data are in `folder`."""
    process = await asyncio.create_subprocess_exec(
        *MQTTLITE,
        "broker",
        "--listen",
        "mqtt://127.0.0.1:0",
        *args,
        cwd=ROOT,
        env={**os.environ, "RUNTIME_DIRECTORY": str(folder)},
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    said: list[str] = []
    try:
        port = 0
        async with asyncio.timeout(TIMEOUT_S):
            while not port or "control" not in said[-1]:
                assert process.stderr
                line = (await process.stderr.readline()).decode()
                assert line, said
                said.append(line)
                if found := re.search(r"listening on mqtt://.*:(\d+)", line):
                    port = int(found[1])
        yield process, port, said
    finally:
        await end(process)


async def ctl(folder: Path, *words: str, code: int = 0) -> str:
    result = await run(*MQTTLITE, "ctl", *words, env={**os.environ, "RUNTIME_DIRECTORY": str(folder)}, check=False)
    assert result.code == code, result
    return result.stdout if code == 0 else result.stderr


async def test_it_finds_the_broker_that_runs_and_says_how_it_is(tmp_path: Path) -> None:
    async with broker(tmp_path) as (process, port, _), RawClient(port) as client:
        await client.connect("kitchen\x1b[2J", keep_alive_s=30)
        await client.subscribe("room/#", 1)
        status = await ctl(tmp_path, "status")
        assert f"mqtt://127.0.0.1:{port}" in status
        assert re.search("trouble +none", status)
        assert "1 connected, 0 away" in status
        clients = await ctl(tmp_path, "clients")
        head = "client address user MQTT since filters queued in doubt dropped"
        assert " ".join(clients.splitlines()[0].split()) == head
        assert r"kitchen\x1b[2J" in clients
        assert "\x1b" not in clients
        found: list[dict[str, Any]] = json.loads(await ctl(tmp_path, "--json", "clients"))
        assert found[0]["client"] == "kitchen\x1b[2J"
        assert "room/# (QoS 1)" in await ctl(tmp_path, "show", "kitchen\x1b[2J")
        assert os.listdir(tmp_path) == [f"broker-{process.pid}.sock"]
        assert "there is no client 'x'" in await ctl(tmp_path, "show", "x", code=1)
        await ctl(tmp_path, "disconnect", "kitchen\x1b[2J")
        await client.closed()
        process.send_signal(signal.SIGTERM)
        assert process.stderr
        rest = (await process.stderr.read()).decode()
    assert re.search(r"INFO audit: control socket \(user \S+, process \d+\): client 'kitchen\\x1b\[2J' at 127", rest)


async def test_a_queue_is_looked_at_and_mended_from_a_shell(tmp_path: Path) -> None:
    store = tmp_path / "broker.db"
    async with broker(tmp_path, "--store", str(store)) as (_, port, _):
        async with RawClient(port) as client, RawClient(port) as publisher:
            await client.connect("pump", clean=False)
            await client.subscribe("to/pump", 1)
            client.send("disconnect")
            await client.closed()
            await publisher.connect("p")
            for payload in (b"poison", b"good"):
                publisher.publish("to/pump", payload, 1, retain=True)
                assert (await publisher.packet()).kind == "puback"
        assert "poison" in await ctl(tmp_path, "queue", "pump")
        [first, _] = json.loads(await ctl(tmp_path, "queue", "pump", "--json"))
        assert "say which message" in await ctl(tmp_path, "drop", "pump", code=1)
        await ctl(tmp_path, "drop", "pump", str(first["seq"]))
        assert "poison" not in await ctl(tmp_path, "queue", "pump")
        assert "to/pump" in await ctl(tmp_path, "retained", "to/#")
        assert "1 retained messages cleared" in await ctl(tmp_path, "clear", "to/#")
        assert await ctl(tmp_path, "retained", "to/#") == "none\n"
        assert "checked" in await ctl(tmp_path, "backup", str(tmp_path / "copy.db"))
        assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
        assert "nothing has changed" in await ctl(tmp_path, "reload")
        assert "pump" in await ctl(tmp_path, "sessions")
        await ctl(tmp_path, "remove", "pump")
        assert await ctl(tmp_path, "sessions") == "none\n"


async def test_two_brokers_of_one_user_are_told_apart(tmp_path: Path) -> None:
    async with broker(tmp_path) as (one, _, _), broker(tmp_path, "--control", str(tmp_path / "own")) as (_, port, _):
        assert str(port) in await ctl(tmp_path, "--socket", str(tmp_path / "own"), "status")
        assert str(port) not in await ctl(tmp_path, "status")
        async with broker(tmp_path):
            text = await ctl(tmp_path, "status", code=1)
            assert "say which with --socket" in text
            assert f"broker-{one.pid}.sock" in text
        one.kill()
        await one.wait()
        assert "no broker of this user" in await ctl(tmp_path, "status", code=1)


async def test_without_a_broker_it_says_what_to_do(tmp_path: Path) -> None:
    assert "no broker of this user or of the service runs here" in await ctl(tmp_path, "status", code=1)
    text = await ctl(tmp_path, "--socket", str(tmp_path / "x"), "status", code=1)
    assert f"there is no control socket {tmp_path / 'x'}: does the broker run" in text


async def test_there_is_no_socket_where_none_is_wanted(tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    config.write_text("[control]\nsocket = false\n")
    process = await asyncio.create_subprocess_exec(
        *MQTTLITE, "broker", "--listen", "mqtt://127.0.0.1:0", "--config", str(config),
        cwd=ROOT, env={**os.environ, "RUNTIME_DIRECTORY": str(tmp_path)}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stderr
        async with asyncio.timeout(TIMEOUT_S):
            while b"live in memory" not in await process.stderr.readline():
                pass
        process.terminate()
        assert b"control" not in await process.stderr.read()
        assert os.listdir(tmp_path) == ["broker.toml"]
    finally:
        await end(process)
