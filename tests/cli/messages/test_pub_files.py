"""`mqttlite pub -f` with files that are larger than a message usually is: they are published in pieces."""

from pathlib import Path

import pytest

from mqttlite.broker import Broker
from mqttlite.client import Client
from tests.broker.raw import port_of
from tests.cli.commands import mqttlite
from tests.peers import Mosquitto


def at(port: int) -> tuple[str, ...]:
    return ("-h", "127.0.0.1", "-p", str(port))


@pytest.mark.parametrize("qos", ["0", "1", "2"])
async def test_a_large_file_is_published_in_pieces(mosquitto: Mosquitto, tmp_path: Path, qos: str) -> None:
    path = tmp_path / "firmware.bin"
    path.write_bytes(bytes(range(256)) * 12_000)  # 3 MB: more than --max-packet is without being given
    async with Client(mosquitto.url, size_max=4 << 20) as client:
        await client.subscribe("f", 2)
        result = await mqttlite("pub", *at(mosquitto.port), "-t", "f", "-f", str(path), "-q", qos, "--repeat", "2")
        assert result.code == 0, result.stderr
        for _ in range(2):
            assert (await anext(client)).payload == path.read_bytes()


async def test_a_broker_that_takes_no_such_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "firmware.bin"
    path.write_bytes(bytes(2 << 20))
    async with Broker(["mqtt://127.0.0.1:0"]) as broker:
        result = await mqttlite("pub", *at(port_of(broker.addresses[0])), "-t", "f", "-f", str(path), "-q", "1")
    assert result.code == 1
    assert "is it too large?" in result.stderr
