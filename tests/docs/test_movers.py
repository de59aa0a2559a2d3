"""docs/from-*.md: their program and ours do the same with the same broker, as they stand."""

import asyncio
import contextlib
import inspect
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from benchmarks import others
from mqttlite import Client
from tests import runtimes
from tests.docs.pages import programs, text_of
from tests.docs.running import running
from tests.peers import MicroPython, end, unavailable

PAGES = ("paho", "aiomqtt", "umqtt", "mqtt_as")


def page(name: str) -> str:
    return f"docs/from-{name}.md"


@contextlib.asynccontextmanager
async def theirs(name: str, url: str, folder: Path) -> AsyncIterator[asyncio.StreamReader]:
    """Their program, with the broker's address in it; yields what it prints."""
    text = programs(page(name))[0]
    port = url.rpartition(":")[2]
    text, count = re.subn(r'"localhost"(, (?:port=)?)1883', rf'"127.0.0.1"\g<1>{port}', text)
    assert count == 1
    command = [sys.executable, "-u", "-c", text]
    env = None
    if name == "umqtt":
        try:
            library = others.umqtt()
        except others.FetchError as error:
            unavailable(str(error))
        (folder / "main.py").write_text(text)
        command = runtimes.micropython_argv(MicroPython().program, folder / "main.py", ())
        env = runtimes.micropython_env([library])
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=env, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout
        yield process.stdout
    finally:
        await end(process)


async def does_the_same(output: asyncio.StreamReader, reader: Client) -> None:
    """The program publishes the temperature, and prints the command that it gets."""
    assert (await anext(reader)).payload == b"21.5"
    await reader.publish("room/command", "warmer", qos=1)
    assert await output.readline() == b"room/command b'warmer'\n"


OURS = [(name, number) for name in PAGES for number in range(1, len(programs(page(name))))]


@pytest.mark.parametrize(("name", "number"), OURS)
async def test_our_programs_publish_and_receive(name: str, number: int, url: str, tmp_path: Path) -> None:
    async with Client(url, client_id="reader") as reader:
        await reader.subscribe("room/temperature")
        async with running(programs(page(name))[number], url, tmp_path) as output:
            await does_the_same(output, reader)


@pytest.mark.parametrize("name", ["paho", "aiomqtt", "umqtt"])
async def test_their_program_does_the_same(name: str, url: str, tmp_path: Path) -> None:
    """mqtt_as is not run: it is in no package registry, and wants a radio."""
    async with Client(url, client_id="reader") as reader:
        await reader.subscribe("room/temperature")
        async with theirs(name, url, tmp_path) as output:
            await does_the_same(output, reader)


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_says_to_write_exists(name: str) -> None:
    """In the table, on our side: attributes, methods and arguments of the client."""
    arguments = set(inspect.signature(Client).parameters) | set(inspect.signature(Client.publish).parameters)
    rows = [line.split(" | ") for line in text_of(page(name)).splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 8
    for row in rows:
        for code in re.findall(r"`([^`]+)`", row[-1]):
            for attribute in re.findall(r"client\.(\w+)", code):
                assert hasattr(Client, attribute) or attribute in ("client_id", "url"), code
            for argument in re.findall(r"(?<![\w.])(\w+)=", code):
                assert argument in arguments or argument == "content_type", code
