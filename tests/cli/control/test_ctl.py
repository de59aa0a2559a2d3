"""`mqttlite ctl` as an operator uses it, with `mqttlite broker` as its peer."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mqttlite.broker.operating import control_path
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
    return await told(folder, "ctl", *words, code=code)


async def told(folder: Path, *words: str, code: int = 0) -> str:
    result = await run(*MQTTLITE, *words, env={**os.environ, "RUNTIME_DIRECTORY": str(folder)}, check=False)
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
            for command in ("ctl", "top"):
                words = ["status"] if command == "ctl" else []
                text = await told(tmp_path, command, *words, code=2)
                head, *lines = text.splitlines()
                assert head == (
                    f"mqttlite {' '.join((command, *words))}: 2 brokers run here: say which with --socket PATH, or "
                    "with --config FILE if its file names the socket ([control] socket)"
                )
                found = [re.fullmatch(r"  --socket (\S+)  listens on mqtt://127\.0\.0\.1:\d+", line) for line in lines]
                paths = [each[1] for each in found if each]
                assert len(paths) == len(lines) == 2
                assert str(tmp_path / f"broker-{one.pid}.sock") in paths
            assert str(port) not in await ctl(tmp_path, "--socket", paths[0], "status")
        one.kill()
        await one.wait()
        assert "no broker of this user" in await ctl(tmp_path, "status", code=1)


async def test_the_file_of_a_broker_says_which_one_is_meant(tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text(f'[control]\nsocket = "{tmp_path}/own.sock"\n')
    async with broker(tmp_path), broker(tmp_path, "--config", str(config)) as (_, port, _), broker(tmp_path):
        for words in (("--config", str(config), "status"), ("status", "--config", str(config))):
            assert str(port) in await ctl(tmp_path, *words)
        assert str(port) in await told(tmp_path, "top", "--config", str(config))
        config.write_text("")
        assert "2 brokers run here" in await ctl(tmp_path, "--config", str(config), "status", code=2)
    config.write_text("[control]\nsocket = false\n")
    text = await ctl(tmp_path, "--config", str(config), "status", code=1)
    assert f"{config} says that its broker has no control socket ([control] socket = false)" in text
    text = await ctl(tmp_path, "--config", str(config), "--socket", "x", "status", code=1)
    assert "--socket says which broker already: leave out --config" in text
    assert "/nowhere.toml" in await ctl(tmp_path, "--config", "/nowhere.toml", "status", code=1)


async def test_a_broker_of_this_user_and_one_of_the_service_are_both_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, service = tmp_path / "mqttlite", tmp_path / "service"
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(control_path, "SERVICE", service)
    with contextlib.ExitStack() as stack:
        for folder in (own, service):
            folder.mkdir(mode=0o700)
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.bind(str(folder / "broker-1.sock"))
            sock.listen()
        assert control_path.running()[:2] == [own / "broker-1.sock", service / "broker-1.sock"]


async def test_without_a_broker_it_says_what_to_do(tmp_path: Path) -> None:
    assert "no broker of this user or of the service runs here" in await ctl(tmp_path, "status", code=1)
    text = await ctl(tmp_path, "--socket", str(tmp_path / "x"), "status", code=1)
    assert f"there is no control socket {tmp_path / 'x'}: does the broker run" in text
    for words in (["ctl", "--control", "x", "status"], ["ctl", "status", "-s", "x"], ["top", "--control", "x"]):
        assert "here: --socket PATH says which broker" in await told(tmp_path, *words, code=1)


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
