"""`mqttlite broker` as a user runs it."""

import asyncio
import contextlib
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.broker.raw import TIMEOUT_S, RawClient
from tests.peers import end, run
from tests.runtimes import ROOT

COMMAND = (sys.executable, "-m", "mqttlite", "broker")


async def started(*args: str) -> tuple[asyncio.subprocess.Process, int]:
    """The command, once it listens, and the port on which it does."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *args, cwd=ROOT, stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    assert process.stderr
    async with asyncio.timeout(TIMEOUT_S):
        while not (found := re.search(rb"listening on mqtt://.*:(\d+)", await process.stderr.readline())):
            assert process.returncode is None
    return process, int(found[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_in_good_order(number: signal.Signals) -> None:
    process, port = await started("--listen", "mqtt://127.0.0.1:0", "-v")
    try:
        async with RawClient(port) as client:
            await client.connect("c")
            process.send_signal(number)
            await client.closed()
        async with asyncio.timeout(TIMEOUT_S):
            _, said = await process.communicate()
        assert process.returncode == 0
        assert b"'c' at 127.0.0.1" in said
        assert said.rstrip().endswith(b"stopped")
    finally:
        await end(process)


async def test_its_largest_packet_can_be_chosen() -> None:
    process, port = await started("--listen", "mqtt://127.0.0.1:0", "--max-packet", "100")
    try:
        async with RawClient(port) as client:
            await client.connect("c")
            client.publish("t", bytes(200))
            await client.closed()
    finally:
        await end(process)


async def test_what_it_cannot_do_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    for args in (("--listen", f"unix://{tmp_path}"), ("--listen", "x"), ("--max-packet", "1")):
        result = await run(*COMMAND, *args, check=False)
        assert result.code == 1
        assert re.fullmatch(r"mqttlite broker: .*\n", result.stderr)


async def test_its_help_has_an_example() -> None:
    result = await run(*COMMAND, "--help")
    assert "mqttlite broker --listen mqtt://0.0.0.0:1883" in result.stdout


async def test_a_file_tells_it_where_to_listen_its_limits_and_what_to_do_when_a_queue_is_full(tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    config.write_text(
        f"""
        listen = ["mqtt://127.0.0.1:0"]
        store = "{tmp_path}/broker.db"
        [limits]
        retained_message_bytes = 10
        [[queue]]
        clients = "pump-*"
        when_full = "refuse"
        max_bytes = 500
        """
    )
    process, port = await started("--config", str(config), "--limit", "retained_message_bytes=100")
    try:
        async with RawClient(port) as pump:
            await pump.connect("pump-1", clean=False)
            await pump.subscribe("to/pump", 1)
        async with RawClient(port) as publisher:
            await publisher.connect("p")
            publisher.publish("r", bytes(100), 1, retain=True)
            assert (await publisher.packet()).kind == "puback"
            taken = 0
            with contextlib.suppress(EOFError, ConnectionError):
                while True:
                    publisher.publish("to/pump", b"%d" % taken + bytes(100), 1)
                    await publisher.packet()
                    taken += 1
        async with RawClient(port) as pump:
            await pump.connect("pump-1", clean=False, present=True)
            assert len(await pump.messages(taken)) == taken == 2
        async with RawClient(port) as publisher:
            await publisher.connect("p")
            publisher.publish("r", bytes(101), 1, retain=True)
            await publisher.closed()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(TIMEOUT_S):
            _, said = await process.communicate()
        assert b"the queue of 'pump-1' (offline) is full (queue_bytes)" in said
        assert b"retained message of 101 bytes for 'r': retained_message_bytes is 100" in said
    finally:
        await end(process)
