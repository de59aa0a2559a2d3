"""An upstream that is mute, one that speaks another version, and how fast and how old messages may be."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mqttlite.client import Client
from mqttlite.core.codec import acknowledgement, publish_head
from mqttlite.core.packet_types import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL
from mqttlite.core.properties import parted
from mqttlite_gateway.bridge.counts import Counts
from mqttlite_gateway.bridge.relay import Means, Relay, _read
from mqttlite_gateway.bridge.terms import Terms, Version, terms_of
from mqttlite_gateway.settings.upstream import Route
from tests.peers import Mosquitto

from .scripted import ACCEPTED, ACCEPTED5, Peer, Scripted
from .world import TIMEOUT_S, Reader, gateway, settings, until, upstream


async def publish(url: str, *payloads: bytes, qos: int = 1) -> None:
    async with Client(url, client_id="device") as device:
        for payload in payloads:
            await device.publish("up/t", payload, qos)
        assert await device.drain(TIMEOUT_S)


async def is_mute(peer: Peer) -> None:
    await peer.accept(ACCEPTED5)
    await peer.closed()


async def test_an_upstream_that_takes_and_never_acknowledges_is_found_out_and_tried_anew(tmp_path: Path) -> None:
    async def takes(peer: Peer) -> None:
        await peer.accept(b"\x20\3\1\0\0")
        first, body = await peer.packet()
        assert first == 0x3A
        peer.send(acknowledgement(PUBACK, int.from_bytes(body[2 + body[1] :][:2], "big")))
        await peer.closed()

    async with (
        Scripted(is_mute, takes) as far,
        gateway(tmp_path / "gateway.db", settings(far.url, version="5.0", ack_timeout_s=0.2)) as (broker, uplink),
    ):
        await publish(broker.addresses[0], b"x")
        await until(
            lambda: "the upstream is mute: connected, and it has not acknowledged" in uplink.describe()["problem"]
        )
        await until(lambda: uplink.describe()["acknowledged"] == 1)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"keep_alive_s": 1, "timeout_s": 0.4}, "is mute: it has not answered a ping for 0.4 s"),
        ({"timeout_s": 0.4, "inwards": (Route("in"),)}, "is mute: it has not answered SUBSCRIBE for 0.4 s"),
    ],
)
async def test_an_upstream_that_answers_no_ping_and_no_subscribe_is_found_out(
    tmp_path: Path, more: dict[str, Any], words: str
) -> None:
    async with Scripted(*[is_mute] * 9) as far, gateway(None, settings(far.url, version="5.0", **more)) as (_, uplink):
        await until(lambda: words in uplink.describe()["problem"])


async def test_an_upstream_without_a_word_is_named(tmp_path: Path) -> None:
    async def nothing(peer: Peer) -> None:
        await peer.packet()
        await peer.closed()

    async with Scripted(*[nothing] * 9) as far, gateway(None, settings(far.url, timeout_s=0.2)) as (_, uplink):
        await until(lambda: "answer" in uplink.describe()["problem"])
        assert not uplink.describe()["connected"]


async def test_who_refuses_5_0_is_spoken_to_in_3_1_1_as_a_bridge_and_then_as_anybody(tmp_path: Path) -> None:
    levels: list[int] = []

    def refuses(peer: Peer) -> Any:
        return answer(peer, b"\x20\2\0\1")

    async def answer(peer: Peer, connack: bytes) -> None:
        levels.append((await peer.accept(connack))[6])
        await peer.closed()

    async with (
        Scripted(refuses, refuses, lambda peer: answer(peer, ACCEPTED)) as far,
        gateway(None, settings(far.url)) as (_, uplink),
    ):
        await until(lambda: uplink.describe()["connected"])
        assert levels == [5, 0x84, 4]
        assert uplink.describe()["version"] == "3.1.1"


async def test_an_upstream_that_has_spoken_5_0_and_is_silent_for_a_while_is_spoken_to_in_5_0_again(
    tmp_path: Path,
) -> None:
    levels: list[int] = []

    async def takes(peer: Peer) -> None:
        levels.append((await peer.accept(ACCEPTED5))[6])

    async def is_silent(peer: Peer) -> None:
        levels.append((await peer.packet())[1][6])

    async with Scripted(takes, is_silent, is_silent, takes) as far, gateway(None, settings(far.url)):
        await far.finished()
        assert levels == [5, 5, 5, 5]


async def test_mosquitto_knows_it_for_a_bridge_in_3_1_1_and_keeps_retain(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as mosquitto:
        of = settings(mosquitto.url, version="3.1.1", inwards=(Route("#"),), out=(Route("#"),))
        async with gateway(None, of) as (broker, uplink), Reader(mosquitto.url, "#") as far:
            await until(lambda: uplink._kept.filters)
            async with Client(mosquitto.url, client_id="office") as office:
                await office.publish("now", b"x", 1, retain=True)
                assert await office.drain(TIMEOUT_S)
            await until(lambda: broker.engine.router.retained.get(b"now"))
            await publish(broker.addresses[0], b"echo")
            await far.got(2)
            assert uplink.describe()["received"] == 1, "what it has published itself does not come back"


async def test_messages_go_up_at_the_rate_that_is_set_and_the_rate_is_measured(tmp_path: Path) -> None:
    async with upstream("own", tmp_path) as url, Reader(url, "#") as far:
        one = settings(url, rate=100)
        async with gateway(tmp_path / "gateway.db", one) as (broker, uplink):
            loop = asyncio.get_running_loop()
            await until(lambda: uplink.describe()["connected"])
            began = loop.time()
            await publish(broker.addresses[0], *[b"x"] * 60)
            await far.got(60)
            assert loop.time() - began >= 0.45, "ten at once, then a hundred a second"
            assert uplink.describe()["rate"] == 100
            await until(lambda: uplink.describe()["drained_a_second"] > 0)


def test_what_waits_for_the_rate_grows_older_and_expires() -> None:
    of = settings("mqtt://127.0.0.1", rate=1)
    counts = Counts()
    relay = Relay(Means(of, counts, lambda *_: None, lambda _: None, 1 << 20), Terms(Version(True), True, 9), 0)

    def message(number: int, qos: int, left_s: int, dup: int = 0) -> tuple[int, bytes]:
        found = publish_head(qos << 1, b"up/t", 0)[2:] + number.to_bytes(2, "big") * bool(qos)
        return PUBLISH | dup | qos << 1, found + b"\5\2" + left_s.to_bytes(4, "big") + b"x"

    relay.from_engine([message(1, 1, 9), message(2, 1, 9), message(3, 1, 1), message(4, 2, 1), message(5, 2, 1, 8)], 0)
    for now in (1500, 3000, 4500, 6000, 7500):
        relay.pump(now)
    sent = [each for each in relay.to_upstream if each[0] & 0xF0 == PUBLISH]
    left = [parted(_read(each[0], each[2:], False)[0].block)[0] for each in sent]
    assert left == [9, 8, 0]  # the last was sent on an earlier connection: it has to be sent again
    assert counts.expired == 2
    assert relay.to_engine == [acknowledgement(PUBACK, 3), acknowledgement(PUBREC, 4)]
    relay.from_engine([(PUBREL, b"\0\4")], 8000)
    assert relay.to_engine[-1] == acknowledgement(PUBCOMP, 4), "the upstream never had it"


def test_no_more_is_under_way_than_may_go_in_ten_seconds() -> None:
    assert settings("mqtt://x").window == 200
    assert [settings("mqtt://x", rate=rate).window for rate in (0.01, 1, 7.5, 1000)] == [1, 10, 75, 200]
    assert terms_of(settings("mqtt://x", rate=1), Version(True), True, {}).window == 10


@pytest.mark.parametrize(("route_qos", "comes_with"), [(2, 1), (0, 0)])
async def test_what_is_published_with_qos_0_is_kept_for_an_upstream_that_is_away_where_the_settings_say_so(
    tmp_path: Path, route_qos: int, comes_with: int
) -> None:
    more = {"queue_qos0": True, "out": (Route("up/#", "site-7/", qos=route_qos),), "version": "5.0"}
    async with gateway(tmp_path / "gateway.db", settings("mqtt://127.0.0.1:1", **more)) as (broker, uplink):
        await publish(broker.addresses[0], b"a", qos=0)
        await publish(broker.addresses[0], b"b", qos=2)
        await until(lambda: uplink.describe()["queued"] == 2)
        async with Client(broker.addresses[0], client_id="other", clean_session=False) as other:
            await other.subscribe("up/#", 2)
        await publish(broker.addresses[0], b"c", qos=0)
        assert broker.engine.sessions[b"other"].session.queued == 0, "it is kept for nobody else"
    async with (
        upstream("own", tmp_path) as url,
        Reader(url, "#") as far,
        gateway(tmp_path / "gateway.db", settings(url, **more)),
    ):
        assert [payload for _, payload in await far.got(3)] == [b"a", b"b", b"c"]
        assert [message.qos for message in far.messages][::2] == [comes_with] * 2


async def test_where_the_queue_is_full_qos_0_is_dropped_counted_and_holds_nobody_back(tmp_path: Path) -> None:
    of = settings("mqtt://127.0.0.1:1", queue_qos0=True, queue_bytes=2000)
    async with gateway(tmp_path / "gateway.db", of) as (broker, uplink):
        await publish(broker.addresses[0], *[bytes(200)] * 20, qos=0)
        await until(lambda: sum(uplink.describe()["dropped"].values()) + uplink.describe()["queued"] == 20)
        assert 5 <= uplink.describe()["queued"] <= 8
    async with gateway(tmp_path / "gateway.db", settings("mqtt://127.0.0.1:1")) as (broker, uplink):
        before = uplink.describe()["queued"]
        await publish(broker.addresses[0], b"x", qos=0)
        await publish(broker.addresses[0], b"x", qos=1)
        assert uplink.describe()["queued"] == before + 1


async def test_what_is_too_old_is_dropped_and_counted_and_the_rest_goes_up(tmp_path: Path) -> None:
    of = settings("mqtt://127.0.0.1:1", max_age_s=3600)
    async with gateway(tmp_path / "gateway.db", of) as (broker, uplink):
        router = broker.engine.router
        await publish(broker.addresses[0], b"old", b"older")
        router.epoch += 40_000
        uplink._look()  # (which it does once a second)
        router.epoch += 1960_000
        uplink._look()
        assert 2000 <= uplink.describe()["oldest_s"] <= 2010
        await publish(broker.addresses[0], b"young")
        router.epoch += 2000_000
        uplink._look()
        assert uplink.describe()["queued"] == 1
        assert uplink.describe()["dropped"] == {"max_age_s": 2}
    async with upstream("own", tmp_path) as url, Reader(url, "#") as far:
        one = settings(url)
        async with gateway(tmp_path / "gateway.db", one):
            assert await far.got(1) == [("site-7/up/t", b"young")]


async def test_messages_that_expire_are_counted(tmp_path: Path) -> None:
    async with gateway(tmp_path / "gateway.db", settings("mqtt://127.0.0.1:1")) as (broker, _):
        async with Client(broker.addresses[0], client_id="device", version="5.0") as device:
            await device.publish("up/t", b"x", 1, expires_after_s=1)
            await device.publish("up/t", b"y", 1)
            assert await device.drain(TIMEOUT_S)
        broker.engine.router.epoch += 2000
    async with upstream("own", tmp_path) as url, Reader(url, "#") as far:
        one = settings(url)
        async with gateway(tmp_path / "gateway.db", one) as (broker, uplink):
            broker.engine.router.epoch += 2000
            await far.got(1)
            await until(lambda: uplink.describe()["queued"] == 0)


async def test_the_queue_has_its_own_rule_when_it_is_full(tmp_path: Path) -> None:
    of = settings("mqtt://127.0.0.1:1", queue_bytes=2000, when_full="drop-oldest")
    async with gateway(tmp_path / "gateway.db", of) as (broker, uplink):
        await publish(broker.addresses[0], *[b"%d" % number + bytes(500) for number in range(10)])
        said = uplink.describe()
        assert said["queued"] == 3
        assert said["queued_bytes"] <= 2000
        assert said["dropped"] == {"queue_bytes": 7}


def test_two_gateways_wait_for_different_times_before_they_come_back() -> None:
    # (the delays themselves: BridgeUplink._pause draws between nothing and what it is given)
    from mqttlite_gateway.bridge.uplink import BridgeUplink

    drawn: list[float] = []

    async def pauses() -> None:
        for _ in range(20):
            uplink = BridgeUplink.__new__(BridgeUplink)
            uplink._now = asyncio.Event()
            began = asyncio.get_running_loop().time()
            await uplink._pause(0.02)
            drawn.append(asyncio.get_running_loop().time() - began)

    asyncio.run(pauses())
    assert max(drawn) - min(drawn) > 0.005
