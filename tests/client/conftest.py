"""Brokers that the client's tests speak to."""

from collections.abc import AsyncIterator

import pytest

from mqttlite.broker import Broker
from tests.broker.raw import port_of
from tests.peers import Mosquitto


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """The address of our broker, in this process."""
    async with Broker(["mqtt://127.0.0.1:0"]) as broker:
        yield broker.addresses[0]


@pytest.fixture(params=("mosquitto", "mqttlite"))
async def port(request: pytest.FixtureRequest) -> AsyncIterator[int]:
    """The port of a real broker: Mosquitto, and our own in this process."""
    if request.param == "mosquitto":
        mosquitto: Mosquitto = request.getfixturevalue("mosquitto")
        yield mosquitto.port
    else:
        async with Broker(["mqtt://127.0.0.1:0"]) as broker:
            yield port_of(broker.addresses[0])


@pytest.fixture
def broker_url(port: int) -> str:
    """The address of a real broker, each as `port` has them."""
    return f"mqtt://127.0.0.1:{port}"
