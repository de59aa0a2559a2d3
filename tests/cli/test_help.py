"""Each command has examples in its help, which are understood; those of `pub`, `sub`, `rr` and `bench` run as they
stand, but for the address.
"""

import asyncio
import contextlib
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mqttlite.broker import Broker
from mqttlite.cli import COMMANDS, _parser, parser_of
from mqttlite.client import Client
from tests.broker.raw import port_of
from tests.peers import run


def examples(command: str) -> Iterator[str]:
    """The lines of a help that begin with a command, without what is said of them."""
    parser = parser_of(command) if command else _parser()
    for line in parser.format_help().splitlines():
        found = re.match(r"  ((?:seq \d+ \| )?mqttlite .*?)(?: {2,}\S.*)?$", line)
        if found:
            yield found[1]


HELPS = ("", *COMMANDS)
ALL = [(command, example) for command in HELPS for example in examples(command)]
RUNNABLE = [
    (command, example)
    for command, example in ALL
    if command in ("", "pub", "sub", "rr", "bench")
    and re.search(r"mqttlite (pub|sub|rr) |bench mqtt://", example)
    and "--help" not in example
]


def test_each_command_has_examples() -> None:
    assert {command for command, _ in ALL} == set(HELPS)
    assert len(RUNNABLE) > 15


@pytest.mark.parametrize(("command", "example"), ALL)
def test_an_example_is_understood(command: str, example: str) -> None:
    words = shlex.split(re.sub(r"^seq \d+ \| | \| head$| < .*", "", example))
    assert words[0] == "mqttlite"
    if "--help" not in words:
        assert parser_of(words[1]).parse_args(words[2:])


@contextlib.asynccontextmanager
async def others(url: str) -> AsyncIterator[None]:
    """Somebody publishes all that is subscribed to, and somebody answers requests."""
    async with Client(url, version="5.0") as client:
        await client.subscribe("clock/ask")
        await client.publish("room/kept", "kept", retain=True)

        async def publish() -> None:
            while True:
                for topic in ("room/1", "sales/1"):
                    await client.publish(topic, "21.5", 1, user_properties={"unit": "Celsius"})
                await asyncio.sleep(0.02)

        async def answer() -> None:
            async for message in client:
                topic = message.response_topic or "clock/answers"
                await client.publish(topic, "noon", 1, correlation_data=message.correlation_data)

        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(publish()), tasks.create_task(answer())]
            yield
            for task in running:
                task.cancel()


@pytest.mark.parametrize(("command", "example"), RUNNABLE)
async def test_an_example_runs(command: str, example: str, tmp_path: Path) -> None:
    async with Broker(["mqtt://127.0.0.1:0"]) as broker, others(broker.addresses[0]):
        port = port_of(broker.addresses[0])
        line = re.sub(r"mqttlite (pub|sub|rr)", rf"mqttlite \1 -h 127.0.0.1 -p {port}", example)
        line = line.replace("mqtt://localhost", f"mqtt://127.0.0.1:{port}")
        ends = {0}
        if "mqttlite sub" in line and " -C " not in line and " -W " not in line:
            line += " -W 0.5"
        if "mqttlite sub" in line and " -C " not in line:
            ends = {0, 27} if "--retained-only" in line else {27}
        if "bench" in line:
            line += " --seconds 0.2 --warm-up 0"
        env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        result = await run("bash", "-c", line, env=env, folder=tmp_path, check=False)
    assert result.code in ends, result
    assert "Traceback" not in result.stderr
    assert bool(result.stdout) == ("mqttlite pub" not in line), result
