"""docs/server.md: its program runs as it stands."""

from pathlib import Path

from mqttlite import Client
from tests.docs.pages import program
from tests.docs.running import running


async def test_the_kitchen_publishes_and_receives(url: str, tmp_path: Path) -> None:
    async with Client(url, client_id="reader") as reader:
        await reader.subscribe("kitchen/temperature")
        async with running(program("docs/server.md", "kitchen"), url, tmp_path) as output:
            assert (await anext(reader)).payload == b"21.5"
            await reader.publish("kitchen/command", "go", qos=2)
            assert await output.readline() == b"kitchen/command b'go'\n"
