"""docs/client.md: each of its examples runs as it stands, inside of what the page says."""

import ast
import asyncio
import inspect
import os
import re
import time
import types
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import mqttlite
from mqttlite import Client
from tests.docs.pages import program, programs
from tests.docs.running import running

PAGE = "docs/client.md"


async def run(block: str, url: str, client: Client) -> dict[str, Any]:
    """Run an example inside of `async with Client(...) as client:`; its variables."""
    names = {
        **{name: getattr(mqttlite, name) for name in mqttlite.__all__},
        "asyncio": asyncio,
        "os": os,
        "time": time,
        "dataclass": dataclass,
        "client": client,
    }
    code = compile(block.replace("mqtt://localhost:1883", url), PAGE, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = types.FunctionType(code, names)()
    if inspect.isawaitable(result):
        await result
    return names


Example = Callable[[Client, Client], Awaitable[None]]


async def feed_subscriptions(client: Client, other: Client) -> None:
    while len(client._life.protocol.subscriptions) < 2 or client.statistics().queue:
        await client._life.progress.wait()
    for topic, payload in (("room/1", "warm"), ("door/1", "open"), ("room/2", "stop")):
        await (await other.publish(topic, payload, 2))


async def feed_functions(client: Client, other: Client) -> None:
    while len(client._life.protocol.subscriptions) < 2:
        await client._life.progress.wait()
    await asyncio.gather(*[await other.publish("room/1/state", "on", 1), await other.publish("log/1", "text", 1)])
    while client.statistics().received.total < 2 or client.statistics().inbox:
        await client._life.progress.wait()
    await client._handlers.stop(at_once=False)  # type: ignore[union-attr]
    await client.close()


async def feed_nothing(client: Client, other: Client) -> None:
    pass


@pytest.mark.parametrize(
    ("part", "feed", "printed"),
    [
        ("watch_doors", feed_subscriptions, r"room: room/1 b'warm'\n(.*\n)*room: room/2 b'stop'\n"),
        ("client.run()", feed_functions, r"state of room/1/state b'on'\n|log log/1 b'text'\n"),
        ("class Charge", feed_nothing, r"Booked\(number=421\) True\nrefused: too much for one day\n"),
        ("def halve", feed_nothing, r"^b'21'\n$"),
        ("publish_many", feed_nothing, r"3 confirmed\n"),
        ("give_up_after_s", feed_nothing, r"Receipt\(\d+\): not confirmed\n"),
        ("now.published", feed_nothing, r"1 1 1 0 \{\}\n"),
    ],
)
async def test_an_example_prints_what_it_is_about(
    url: str, capsys: pytest.CaptureFixture[str], part: str, feed: Example, printed: str
) -> None:
    async with Client(url, client_id="house") as client, Client(url) as other:
        feeding = asyncio.create_task(feed(client, other))
        await run(program(PAGE, part), url, client)
        await feeding
    output = capsys.readouterr().out
    assert re.search(printed, output), output


async def test_a_picture_is_published_and_saved_in_pieces(
    url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with Client(url, client_id="house", size_max=5000, stream_max=1_000_000) as client:
        picture = tmp_path / "picture.jpg"
        picture.write_bytes(bytes(100_000))
        saving = (await run(program(PAGE, "receive_stream"), url, client))["saving"]
        await client.subscribe("camera/+/picture", 2)
        await run(program(PAGE, "publish_stream"), url, client)
        while client.statistics().received.total < 1 or (tmp_path / "picture.part").exists():
            await client._life.progress.wait()
        saving.cancel()
    assert set(capsys.readouterr().out.splitlines()) == {"the broker has it", "camera/1/picture 100000 bytes"}


async def test_the_script_prints_what_it_has_published(url: str, tmp_path: Path) -> None:
    async with running(program(PAGE, "import mqttlite.blocking"), url, tmp_path) as output:
        assert await output.readline() == b"room/1 b'21.5'\n"
        assert await output.read() == b""


def test_no_example_is_left_out() -> None:
    assert len(programs(PAGE)) == 10
