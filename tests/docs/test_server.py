"""docs/server.md: its program runs as it stands."""

from pathlib import Path

from mqttlite import Client
from tests.docs.pages import program
from tests.docs.running import running


async def test_the_hall_speaks_5_0(url: str, tmp_path: Path) -> None:
    async with Client(url, version="5.0", client_id="reader") as reader:
        await reader.subscribe("hall/#", 1)
        async with running(program("docs/server.md", "hall/door"), url, tmp_path) as output:
            message = await anext(reader)
            assert (message.payload, message.user_properties) == (b"open", [("unit", "none")])
            assert (message.expires_after_s or 0) > 50
            numbers = (await output.readline()).split()
            assert int(numbers[0]) > 0  # receive maximum


async def test_the_kitchen_publishes_and_receives(url: str, tmp_path: Path) -> None:
    async with Client(url, client_id="reader") as reader:
        await reader.subscribe("kitchen/temperature")
        async with running(program("docs/server.md", "kitchen"), url, tmp_path) as output:
            assert (await anext(reader)).payload == b"21.5"
            await reader.publish("kitchen/command", "go", qos=2)
            assert await output.readline() == b"kitchen/command b'go'\n"
