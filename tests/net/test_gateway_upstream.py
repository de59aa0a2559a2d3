"""The gateway reaches a broker over TLS and WebSocket, for its devices and for itself."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from mqttlite.broker import Broker, Tls
from mqttlite.core.errors import MQTTError
from mqttlite_gateway.config import load
from mqttlite_gateway.lines.upstream import Upstream
from tests.broker.raw import TIMEOUT_S
from tests.certificates import Certificates

CONNECT = b"\x10\x0d\0\4MQTT\4\2\0\x3c\0\1a"


async def connack(upstream: Upstream) -> bytes:
    """What the broker answers a device that is forwarded to it."""
    reader, writer = await upstream.connect()
    try:
        writer.write(CONNECT[:5])
        writer.write(CONNECT[5:])
        await writer.drain()
        async with asyncio.timeout(TIMEOUT_S):
            return await reader.readexactly(4)
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("scheme", ["mqtts", "ws", "wss"])
async def test_devices_and_the_gateway_itself_reach_it_as_its_file_says(
    scheme: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = Certificates(tmp_path)
    pair, own = made.server(), made.client("gateway")
    tls = Tls(pair.certificate, pair.key, client_ca=made.ca)
    async with Broker([f"{scheme}://127.0.0.1:0"], tls=tls) as broker:
        table = f'[tls]\nca = "{made.ca}"\ncertificate = "{own.certificate}"\nkey_file = "{own.key}"\n'
        file = tmp_path / "gateway.toml"
        file.write_text(
            f'upstream = "{broker.addresses[0]}"\n{"" if scheme == "ws" else table}[[serial]]\npath = "/dev/x"\n'
        )
        config = load(file)
        config.check()
        upstream = Upstream(config.upstream, config.tls)
        assert await connack(upstream) == b"\x20\x02\0\0"
        await upstream.check()
        assert f"the broker at {upstream.name} answers" in caplog.text


async def test_a_wrong_certificate_is_said_in_words(tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    pair = made.server()
    async with Broker(["mqtts://127.0.0.1:0"], tls=Tls(pair.certificate, pair.key)) as broker:
        options: dict[str, Any] = {"fingerprint": "00" * 32}
        upstream = Upstream(broker.addresses[0], options)
        with pytest.raises(MQTTError) as caught:
            await upstream.connect()
        assert "not the one that is pinned" in upstream.explain(caught.value)
        silent = upstream.explain_first(b"", 3.0)
        assert silent.endswith(
            "within 3 s: is an MQTT broker behind it, and does its log say why it does not want this client?"
        )
