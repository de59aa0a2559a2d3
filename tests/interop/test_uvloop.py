"""Client and broker on uvloop, whose transports are not asyncio's."""

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Any

import pytest

from mqttlite.broker import Broker, Tls
from mqttlite.client import Client
from mqttlite_gateway.page import crowd
from mqttlite_gateway.page.server import Page
from mqttlite_gateway.settings.page import PageSettings
from tests.certificates import Certificates
from tests.gateway.page import shown
from tests.peers import RUN_TIMEOUT_S

uvloop: Any = pytest.importorskip("uvloop")


@pytest.mark.parametrize("listener", ["mqtt://127.0.0.1:0", "mqtts://127.0.0.1:0", "wss://127.0.0.1:0", "unix"])
def test_a_message_of_each_qos_goes_round_on_uvloop(listener: str, tmp_path: Path) -> None:
    async def work() -> None:
        assert type(asyncio.get_running_loop()).__module__.startswith("uvloop")
        url = f"unix://{tmp_path}/s" if listener == "unix" else listener
        made = Certificates(tmp_path)
        pair = made.server()
        options: dict[str, Any] = {"ca": made.ca} if url.startswith(("mqtts", "wss")) else {}
        store = str(tmp_path / "client.db")
        async with Broker([url], store=tmp_path / "broker.db", tls=Tls(pair.certificate, pair.key)) as broker:
            async with Client(broker.addresses[0], client_id="c", store=store, **options) as client:
                await client.subscribe("echo", 2)
                for qos in (0, 1, 2):
                    for size in (1, 100_000):
                        receipt = await client.publish("echo", b"x" * size, qos)
                        await receipt.completed()
                        message = await anext(client)
                        assert (message.qos, len(message.payload)) == (qos, size)
            assert broker.stats.protocol_errors == 0

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(work(), RUN_TIMEOUT_S))


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_gateways_page_answers_on_uvloop_and_closes_one_too_many(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "CONNECTIONS_MAX", 1)

    async def work() -> None:
        made = Certificates(tmp_path)
        pair = made.server("127.0.0.1")
        trusting: Any = ssl.create_default_context(cafile=made.ca) if scheme == "https" else None
        settings = PageSettings(listen=f"{scheme}://127.0.0.1:0")
        async with Page(shown.gateway(), settings, tls=Tls(pair.certificate, pair.key)) as page:
            port = int(page.url.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
            for _ in range(2):
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert await reader.readuntil(b"\r\n\r\nok\n") and page._connections()
                late, other = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=trusting, local_addr=("127.0.0.2", 0)
                )
                with contextlib.suppress(ConnectionError):
                    assert await late.read() == b""
                other.close()
            writer.close()

    said: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_exception_handler(lambda loop, context: said.append(context))
        runner.run(asyncio.wait_for(work(), RUN_TIMEOUT_S))
    assert not said


def test_a_broker_on_uvloop_that_goes_and_comes_is_found_again(tmp_path: Path) -> None:
    async def work() -> None:
        url = f"unix://{tmp_path}/s"
        client = Client(url, client_id="c", retry_first=True)
        for number in range(2):
            async with Broker([url]):
                await client.start()
                receipt = await client.publish("a", b"%d" % number, 1)
                await receipt.completed()
        await client.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(work(), RUN_TIMEOUT_S))
