"""MQTT.js authenticates itself at the broker in several packets, and again while it is connected."""

import hmac
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from mqttlite.broker import Arriving, Broker, Refusal
from tests.peers import program, run
from tests.runtimes import NODE_MODULES
from tests.statements import statement

MODULE = NODE_MODULES / "mqtt"


def authenticate(who: Arriving) -> Generator[bytes, bytes, bytes]:
    assert (who.client_id, who.method, who.data) == ("c", "CHALLENGE", b"" if who.again else b"hello")
    answer = yield b"challenge"
    if answer != hmac.digest(b"key", b"challenge", "sha256"):
        raise Refusal(0x87, "wrong answer")
    return b"welcome back" if who.again else b"welcome"


@statement("5.0", "MQTT-4.12.0-2", "MQTT-4.12.0-3", "MQTT-4.12.0-4", "MQTT-4.12.0-5", "MQTT-4.12.1-1")
@pytest.mark.skipif(not MODULE.exists(), reason="MQTT.js is not installed (make setup)")
@pytest.mark.parametrize(("key", "said"), [("key", "connected welcome\nagain welcome back\n"), ("x", "error 135\n")])
async def test_mqttjs_answers_the_challenge_or_is_refused(key: str, said: str) -> None:
    async with Broker(["mqtt://127.0.0.1:0"], authenticate=authenticate) as broker:
        script = Path(__file__).parent / "auth_client.cjs"
        environment = {**os.environ, "MQTT_JS": str(MODULE)}
        result = await run(program("node"), str(script), broker.addresses[0], key, env=environment)
        assert result.stdout == said
