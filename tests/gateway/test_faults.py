"""What happens to programs and cables: the gateway killed, an adapter unplugged, a device reset, a broker absent."""

import asyncio
from pathlib import Path

from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.client import Client
from tests.firmware.boards import TOPIC, Board
from tests.gateway.world import (
    BAUD,
    BIT_ERRORS,
    DROPPED,
    OPTIONS,
    beside,
    device,
    gateway,
    numbers,
    watching,
)
from tests.peers import Mosquitto

COUNT = 300


def noisy_line(seed: int = 1) -> NoisyLine:
    return NoisyLine(BAUD, bit_errors=BIT_ERRORS, dropped=DROPPED, seed=seed)


async def test_a_gateway_killed_and_restarted_in_the_middle_loses_nothing(mosquitto: Mosquitto) -> None:
    async with noisy_line() as line, watching(mosquitto.url, "t/up") as watcher:
        async with gateway(mosquitto.url, line.a_path) as box, device(line.b_path, count=COUNT) as board:
            await watcher.count("t/up", COUNT // 3)
            await box.kill()
            await box.start()
            await board.says("all confirmed")
            got = await watcher.count("t/up", COUNT)
        assert numbers(got) == list(range(COUNT))


async def test_an_adapter_unplugged_and_replugged_is_opened_again_and_nothing_is_lost(mosquitto: Mosquitto) -> None:
    async with (
        noisy_line() as line,
        watching(mosquitto.url, "t/up") as watcher,
        gateway(mosquitto.url, line.a_path) as box,
        device(line.b_path, count=COUNT) as board,
    ):
        await watcher.count("t/up", COUNT // 3)
        line.unplug("a")
        assert "was it unplugged?" in await box.says("is gone (")
        assert "looking again" in await box.says("does not exist")
        line.replug("a")
        await box.says("open at", 2)
        await board.says("all confirmed")
        got = await watcher.count("t/up", COUNT)
        assert numbers(got) == list(range(COUNT))
        assert len([text for text in box.lines if "does not exist" in text]) == 1


async def test_a_device_whose_own_end_is_unplugged_opens_it_again_and_loses_nothing(
    mosquitto: Mosquitto, runtime: str
) -> None:
    async with (
        noisy_line() as line,
        watching(mosquitto.url, "t/up") as watcher,
        gateway(mosquitto.url, line.a_path),
        device(line.b_path, runtime, count=COUNT) as board,
    ):
        await watcher.count("t/up", COUNT // 3)
        line.unplug("b")
        line.replug("b")
        await board.says("all confirmed")
        assert numbers(await watcher.count("t/up", COUNT)) == list(range(COUNT))


async def test_a_port_that_is_not_there_at_the_start_is_opened_when_it_comes(mosquitto: Mosquitto) -> None:
    async with noisy_line() as line, watching(mosquitto.url, "t/up") as watcher:
        line.unplug("a")
        async with gateway(mosquitto.url, line.a_path) as box, device(line.b_path, count=10) as board:
            await box.says("does not exist")
            line.replug("a")
            await board.says("all confirmed")
            assert numbers(await watcher.count("t/up", 10)) == list(range(10))


async def test_a_device_killed_and_restarted_is_reported_by_its_will_and_begins_a_new_epoch(
    mosquitto: Mosquitto, tmp_path: Path, runtime: str
) -> None:
    online = f"{TOPIC}/online"
    async with noisy_line() as line, watching(mosquitto.url, f"{TOPIC}/#") as watcher:
        board = Board(tmp_path / "board", f"serial://{line.b_path}{OPTIONS}", runtime=runtime)
        async with gateway(mosquitto.url, line.a_path) as box:
            async with board.running():
                await watcher.until(online, b"1")
                await watcher.count(f"{TOPIC}/count", 5)
            async with board.running():
                await watcher.until(online, b"0")
                await watcher.until(online, b"1")
                await watcher.count(f"{TOPIC}/count", 10)
            await box.says("is there", 2)
            assert "the peer has restarted" in await box.says("is gone")


async def test_two_devices_on_two_lines_have_connections_of_their_own(mosquitto: Mosquitto) -> None:
    async with noisy_line(1) as one, noisy_line(2) as two, gateway(mosquitto.url, one.a_path, two.a_path):
        async with (
            Client(f"serial://{one.b_path}{OPTIONS}", client_id="one", retry_first=True) as first,
            Client(f"serial://{two.b_path}{OPTIONS}", client_id="two", retry_first=True) as second,
        ):
            await first.subscribe("to/one", qos=2)
            await second.subscribe("to/two", qos=2)
            await first.publish("to/two", "from one", qos=2)
            await second.publish("to/one", "from two", qos=2)
            assert (await anext(aiter(first))).payload == b"from two"
            assert (await anext(aiter(second))).payload == b"from one"
            two.unplug("b")  # which is nothing to the other one
            for number in range(20):
                await (await first.publish("to/nobody", str(number), qos=2)).completed()
            two.replug("b")
            await (await second.publish("to/nobody", "again", qos=2)).completed()
        assert " as one " in mosquitto.log
        assert " as two " in mosquitto.log


async def test_a_broker_absent_at_the_start_is_told_to_the_device_and_used_as_soon_as_it_appears(
    tmp_path: Path,
) -> None:
    broker = Mosquitto(tmp_path / "mosquitto")
    refused: asyncio.Queue[str] = asyncio.Queue()
    async with noisy_line() as line, gateway(broker.url, line.a_path) as box:
        client = Client(f"serial://{line.b_path}{OPTIONS}", client_id="device", retry_first=True)
        client._life.log = lambda text: refused.put_nowait(text)  # type: ignore[method-assign]

        async def until_called(_ms: int) -> None:
            """A back-off that never ends by itself."""
            await client._life.attention.wait()

        client._connector.pause = until_called  # type: ignore[method-assign]
        starting = asyncio.create_task(client.start())
        try:
            assert "the broker cannot be reached" in await refused.get()
            await box.says("the broker cannot be reached")
            with broker:
                await starting
                await box.says("the broker is back")
                await (await client.publish("t/up", "1", qos=2)).completed()
                await client.close()
        finally:
            await client.close()
            await asyncio.gather(starting, return_exceptions=True)
        assert len([text for text in box.lines if "cannot be reached" in text]) == 1


async def test_upstream_may_be_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "broker.sock"
    broker = Mosquitto(tmp_path / "mosquitto", settings={"listener ": f"0 {path}"})
    with broker:
        async with (
            noisy_line() as line,
            watching(broker.url, "t/up") as watcher,
            gateway(f"unix://{path}", line.a_path),
            device(line.b_path, count=20) as board,
        ):
            await board.says("all confirmed")
            assert numbers(await watcher.count("t/up", 20)) == list(range(20))


async def test_a_broker_that_refuses_a_device_is_not_asked_again_and_again(tmp_path: Path) -> None:
    """The gateway does not call a device back to a broker that was there all the time."""
    broker = Mosquitto(tmp_path / "mosquitto", settings={"allow_anonymous": "false"})
    said: asyncio.Queue[str] = asyncio.Queue()
    with broker:
        async with noisy_line() as line, gateway(broker.url, line.a_path) as box:
            client = Client(f"serial://{line.b_path}{OPTIONS}", client_id="device", retry_first=True)
            client._life.log = lambda text: said.put_nowait(text)  # type: ignore[method-assign]
            async with beside(client.start()):
                for _ in range(4):
                    assert "not authorised" in (await said.get()).lower()
            await client.close()
            assert not [text for text in box.lines if "is back" in text]


async def test_without_any_device_the_gateway_waits_for_one(mosquitto: Mosquitto) -> None:
    async with noisy_line() as line, gateway(mosquitto.url, line.a_path) as box:
        await box.says("open at")
        async with Client(f"serial://{line.b_path}{OPTIONS}", client_id="late") as client:
            await (await client.publish("t/up", "1", qos=2)).completed()
        assert "'late' is there" in await box.says("is there")
