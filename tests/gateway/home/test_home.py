"""A gateway tells Home Assistant of its devices, by the broker inside and by Mosquitto: there, gone, started again."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mqttlite import Client
from mqttlite.cli import main
from mqttlite_gateway.config import Config, load
from mqttlite_gateway.gateway import Gateway
from mqttlite_gateway.home import home
from mqttlite_gateway.radio import devices
from tests.peers import Mosquitto, free_port

BRIDGE = """
mode = "bridge"
store = "{folder}/gateway.db"
console = ""
listen = ["mqtt://127.0.0.1:{port}"]
control.socket = false
[access]
password_file = "{folder}/users"
anonymous = "loopback"
[devices]
url = "mqtt://127.0.0.1"
"""
HOME = """
[home_assistant]
id = "hall"
birth_jitter_s = 0.05
[[home_assistant.reading]]
device = "green*"
topic = "devices/{name}/t"
name = "Temperature"
unit = "°C"
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "LOOK_S", 0.02)
    monkeypatch.setattr(home, "AGAIN_S", 0.02)


class Seen:
    """What Home Assistant would have seen, by topic."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.retained: dict[str, Any] = {}
        self.count = 0

    async def until(self, wanted: Any) -> None:
        async with asyncio.timeout(30):
            while not wanted(self.retained):
                message = await anext(self.client)
                self.count += message.topic.endswith("/config")
                self.retained[message.topic] = (
                    json.loads(message.payload) if message.payload[:1] == b"{" else message.payload
                )


@asynccontextmanager
async def watching(url: str) -> AsyncIterator[Seen]:
    async with Client(url, client_id="ha", clean_session=True) as client:
        await client.subscribe("homeassistant/device/#", 1)
        await client.subscribe("mqttlite/home/#", 1)
        yield Seen(client)


def bridge(folder: Path, text: str) -> Config:
    path = folder / "gateway.toml"
    path.write_text(text)
    return load(path)


async def test_devices_come_and_go_in_home_assistant_as_they_are_added_and_removed(tmp_path: Path) -> None:
    text = BRIDGE.format(folder=tmp_path, port=free_port())
    main(["passwd", "-b", str(tmp_path / "users"), "see", "see"])
    one, two = "homeassistant/device/mqttlite_hall/config", "homeassistant/device/mqttlite_hall_greenhouse-7/config"
    state = "mqttlite/home/mqttlite_hall_greenhouse-7/state"
    online = "mqttlite/home/mqttlite_hall/online"

    def is_on(seen: dict[str, Any], value: str) -> bool:
        return bool(seen.get(two) and seen.get(state, {}).get("connected") == value)

    async with Gateway(bridge(tmp_path, text + HOME)) as gateway:
        assert gateway.broker
        url = gateway.broker.addresses[0]
        async with watching(url) as ha:
            await ha.until(lambda seen: one in seen and seen.get(online) == b"online")
            record = await devices.add_device(gateway, "greenhouse-7")
            await ha.until(lambda seen: is_on(seen, "OFF"))
            assert {each["name"] for each in ha.retained[two]["components"].values()} == {
                "Connection",
                "Queue",
                "Temperature",
            }
            password = dict(line.split(" = ") for line in record["settings"].splitlines())["password"].strip('"')
            async with Client(url, client_id="greenhouse-7", username="greenhouse-7", password=password):
                await ha.until(lambda seen: is_on(seen, "ON"))
            await ha.until(lambda seen: is_on(seen, "OFF"))
            before = ha.count
            await ha.client.publish("homeassistant/status", "online", 1, True)
            await ha.until(lambda _: ha.count == before + 2)
            await devices.remove_device(gateway, "greenhouse-7")
            await ha.until(lambda seen: seen.get(two) == b"")
            await devices.add_device(gateway, "left")
            await ha.until(lambda seen: seen.get("homeassistant/device/mqttlite_hall_left/config"))
        settings = gateway.config.broker
    devices.remove(settings, "left")  # while it does not run
    async with (
        Gateway(bridge(tmp_path, text + HOME)) as gateway,
        watching(url) as ha,
    ):
        await ha.until(lambda seen: seen.get(online) == b"online" and one in seen)
        assert gateway.broker
        while gateway.broker.engine.router.retained.get(b"homeassistant/device/mqttlite_hall_left/config"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_gateway_that_forwards_tells_it_by_its_broker_and_again_after_that_was_away(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(f'upstream = "{mosquitto.url}"\nconsole = ""\n{HOME}\n[[serial]]\npath = "{tmp_path}/no-port"\n')
    one, online = "homeassistant/device/mqttlite_hall/config", "mqttlite/home/mqttlite_hall/online"
    async with Gateway(load(path)):
        async with watching(mosquitto.url) as ha:
            await ha.until(lambda seen: one in seen and seen.get(online) == b"online")
            assert "queued" in ha.retained[one]["components"]
        mosquitto.restart()
        async with watching(mosquitto.url) as ha:
            await ha.until(lambda seen: one in seen and seen.get(online) == b"online")
            old = "homeassistant/device/mqttlite_hall_old/config"
            stale = ha.retained[one] | {"device": {"identifiers": ["x"], "via_device": "mqttlite_hall"}}
            await ha.client.publish(old, json.dumps(stale), 1, True)
            before = ha.count
            await ha.client.publish("homeassistant/status", "online", 1)
            await ha.until(lambda seen: seen.get(old) == b"" and ha.count > before)
    async with watching(mosquitto.url) as ha:
        await ha.until(lambda seen: seen.get(online) == b"offline")


def test_what_the_table_cannot_be_told_is_named_with_its_line(tmp_path: Path) -> None:
    wrong = HOME.replace('name = "Temperature"', 'nam = "x"').replace("birth_jitter_s = 0.05", "every_s = 0")
    with pytest.raises(ValueError) as caught:
        bridge(tmp_path, 'mode = "bridge"\n' + wrong)
    lines = "\n".join(getattr(caught.value, "lines", [str(caught.value)]))
    assert "there is no key 'nam'" in lines and "name is missing" in lines
    assert "line 5: [home_assistant]: every_s 0: must be 1 to 86400 seconds" in lines
