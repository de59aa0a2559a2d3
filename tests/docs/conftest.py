"""What the programs of the pages speak to."""

from collections.abc import AsyncIterator

import pytest

from mqttlite.broker import Broker
from tests.peers import free_port


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """The address of a running broker."""
    address = f"mqtt://127.0.0.1:{free_port()}"
    async with Broker([address]):
        yield address
