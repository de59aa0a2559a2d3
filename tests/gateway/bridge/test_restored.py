"""A gateway's store that was restored from a copy: what its upstream holds of the life before is given up first."""

from pathlib import Path

import pytest

from mqttlite.store.tending.backup import backup
from mqttlite_gateway import lives
from tests.gateway.bridge.test_lost_sessions import publish
from tests.peers import Mosquitto

from .world import Reader, gateway, settings, until


@pytest.mark.parametrize("begins_anew", [True, False])
async def test_what_was_sent_after_the_copy_was_made_is_released_upstream_and_new_messages_pass(
    tmp_path: Path, begins_anew: bool
) -> None:
    """Without the life of its own that a restore gives it, the new messages take the identifiers of those, which
    Mosquitto then throws away: that is what it is for.
    """
    with Mosquitto(tmp_path) as mosquitto:
        async with Reader(mosquitto.url, "site-7/#") as far:
            of = settings(mosquitto.url)
            async with gateway(tmp_path / "one.db", of) as (broker, uplink):
                await publish(broker.addresses[0], b"0")
                await until(lambda: len(far.messages) == 1 and uplink.describe()["queued"] == 0)
                assert broker.store
                await broker.store.commit()
                backup(str(tmp_path / "one.db"), str(tmp_path / "two.db"))
                assert uplink._joined
                uplink._joined.relay._release = lambda packet_id, now: None  # type: ignore[method-assign]
                await publish(broker.addresses[0], b"1", b"2")
                await mosquitto.logged("Sending PUBREC to site-7", 3)
            if begins_anew:
                lives.begin(tmp_path / "two.db", "second")
            async with gateway(tmp_path / "two.db", of) as (broker, uplink):
                await publish(broker.addresses[0], b"4", b"5")
                await until(lambda: uplink.describe()["acknowledged"] == 2)
                await until(lambda: uplink.describe()["queued"] == 0)
                await until(lambda: len(far.messages) == (5 if begins_anew else 3))
            payloads = sorted(message.payload for message in far.messages)
            assert payloads == ([b"0", b"1", b"2", b"4", b"5"] if begins_anew else [b"0", b"4", b"5"])
