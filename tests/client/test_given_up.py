"""A client that begins without waiting for a connection, and messages that their application gives up."""

from pathlib import Path

import pytest

from mqttlite.broker import Broker
from mqttlite.client import Client
from mqttlite.core.errors import SetAsideError


@pytest.mark.parametrize("qos", [1, 2])
async def test_what_is_not_confirmed_is_given_up_when_it_is_settled_and_does_not_come_again(
    tmp_path: Path, qos: int
) -> None:
    """Before there is any connection: `start` has returned, and tries on."""
    client = Client("mqtt://127.0.0.1:1", client_id="a", store=str(tmp_path / "s"), retry_first=True)
    await client.start(wait=False)
    receipts = [await client.publish("t", str(number), qos) for number in range(3)]
    assert client.unconfirmed() == 3
    await client.settle(receipts[1].seq)
    assert client.unconfirmed() == 2
    with pytest.raises(SetAsideError, match="given up before it was confirmed"):
        await receipts[1].completed()
    await client.close()
    again = Client("mqtt://127.0.0.1:1", client_id="a", store=str(tmp_path / "s"), retry_first=True)
    await again.start(wait=False)
    assert [message.payload for message in again.pending()] == [b"0", b"2"]
    await again.close()


async def test_what_is_confirmed_stays_so_when_it_is_settled(tmp_path: Path) -> None:
    store = str(tmp_path / "s")
    async with (
        Broker(listen=["mqtt://127.0.0.1:0"]) as broker,
        Client(broker.addresses[0], client_id="a", store=store) as client,
    ):
        receipt = await client.publish("t", b"", 2)
        await receipt.completed()
        await client.settle(receipt.seq)
        await receipt.completed()
