"""Sessions whose CONNACK may be lost, when the broker is killed: docs/decisions/0005."""

from pathlib import Path

import pytest

from tests.broker.durable.test_durable5 import LONG, WILL, YEAR_MS, life
from tests.broker.five import CONNECT, SUBSCRIBE, Five, packet, prefixed, properties
from tests.statements import statement


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "broker.db"


@statement("5.0", "MQTT-3.2.2-2", "MQTT-3.2.2-3")
@pytest.mark.parametrize("is_sure", [False, True])
async def test_a_session_whose_connack_may_be_lost_is_not_announced_after_a_kill(path: Path, is_sure: bool) -> None:
    """Found by the simulator: its client took it for the one before, which had expired."""
    async with life(path) as world:
        client = Five(world, "c", SessionExpiryInterval=1)
        client.subscribe("t", 1)
        client.cut()
        world.wait(1001)
        client = Five(world, "c", clean=False, present=False, SessionExpiryInterval=60)
        if is_sure:
            client.wire.raw(b"\xc0\0")
    async with life(path) as world:
        Five(world, "c", clean=False, present=is_sure, SessionExpiryInterval=60)
        assert world.engine.sessions[b"c"].expiry_ms == 60_000


@pytest.mark.parametrize("is_sure", [False, True])
async def test_nor_is_one_that_is_kept_for_its_will_which_is_forgotten_all_the_same_when_its_client_is_back(
    path: Path, is_sure: bool
) -> None:
    late = {"WillDelayInterval": 30}
    async with life(path) as world:
        watcher = Five(world, "watcher", **LONG)
        watcher.subscribe("w", 1)
        watcher.cut()
        client = Five(world, "c", will=WILL, will_properties=late, **LONG)
        if is_sure:
            client.wire.raw(b"\xc0\0")
    for _ in range(2):  # what the first of them has loaded, the second has, too
        async with life(path) as world:
            world.wait(1000)
    async with life(path) as world:
        Five(world, "c", clean=False, present=is_sure, **LONG)
        world.wait(60_000)
        assert world.stats.wills == 0
        assert world.engine.sessions[b"c"].expiry_ms == LONG["SessionExpiryInterval"] * 1000


@pytest.mark.parametrize("expiry_s", [20, 3600])
async def test_the_will_of_a_session_of_which_nobody_may_know_waits_after_a_kill_for_its_delay_or_the_sessions_end(
    path: Path, expiry_s: int
) -> None:
    async with life(path) as world:
        Five(world, "c", SessionExpiryInterval=expiry_s, will=WILL, will_properties={"WillDelayInterval": 30})
    async with life(path) as world:
        watcher = Five(world, "watcher")
        watcher.subscribe("w", 1)
        world.wait(min(expiry_s, 30) * 1000 - 1)
        assert watcher.messages() == []
        world.wait(1)
        assert watcher.payloads() == [b"gone"]


async def test_a_session_that_begins_with_subscribe_behind_connect_has_its_expiry_interval_after_a_kill(
    path: Path,
) -> None:
    async with life(path) as world:
        connect = packet(
            0x10, b"\0\4MQTT\5\2\0\0" + properties(CONNECT, {"SessionExpiryInterval": 60}) + prefixed(b"c")
        )
        wire = world.open()
        wire.raw(connect + packet(SUBSCRIBE << 4 | 2, b"\0\1\0" + prefixed(b"t") + b"\1"))
    async with life(path, YEAR_MS + 61_000) as world:
        world.wait(61_000)
        assert b"c" not in world.engine.sessions
