"""What an upstream does not take is set aside with its cause, and what comes behind it goes on."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mqttlite.broker import Access, Broker, Limits, Rule, Rules
from mqttlite.client import Client
from mqttlite.core.packet_types import DISCONNECT
from mqttlite.core.reason_codes import QUOTA_EXCEEDED
from mqttlite_gateway.bridge import uplink as uplink_module
from mqttlite_gateway.settings.upstream import Route
from tests.peers import Mosquitto

from .scripted import ACCEPTED5, Peer, Scripted
from .world import LOCAL, TIMEOUT_S, Reader, gateway, settings, until


async def publish(url: str, *messages: tuple[str, bytes, int]) -> None:
    async with Client(url, client_id="device") as device:
        for topic, payload, qos in messages:
            await device.publish(topic, payload, qos)
        assert await device.drain(TIMEOUT_S)


async def test_what_mosquitto_does_not_allow_is_set_aside_can_be_tried_again_and_dropped(tmp_path: Path) -> None:
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite site-7/up/t\ntopic read #\n")
    with Mosquitto(tmp_path, settings={"acl_file": rules}) as mosquitto:
        async with (
            gateway(tmp_path / "gateway.db", settings(mosquitto.url)) as (broker, uplink),
            Reader(mosquitto.url, "#") as far,
        ):
            await publish(
                broker.addresses[0], ("up/no", b"1", 1), ("up/t", b"2", 2), ("up/no", b"3", 2), ("up/t", b"4", 1)
            )
            await far.got(2)
            await until(lambda: uplink.describe()["set_aside"] == 2 and uplink.describe()["queued"] == 0)
            first, second = uplink.dead_letters()
            assert (first["topic"], first["payload"], first["qos"], first["way"]) == ("up/no", "1", 1, "out")
            assert "not authorised" in first["cause"]
            assert "0x87" in second["cause"]
            uplink.retry(first["id"])
            await until(lambda: uplink.describe()["refused"] == 3)
            uplink.drop(second["id"])
            (again,) = uplink.dead_letters()
            assert again["payload"] == "1"
            with pytest.raises(ValueError, match="there is no message 999 set aside"):
                uplink.drop(999)
        async with gateway(tmp_path / "gateway.db", settings(mosquitto.url)) as (_, uplink):
            assert [each["payload"] for each in uplink.dead_letters()] == ["1"]


async def test_a_message_that_was_set_aside_passes_when_it_is_tried_again_and_the_upstream_takes_it(
    tmp_path: Path,
) -> None:
    every = frozenset(("publish", "subscribe", "receive"))
    rules = [Rule("#", every), Rule("site-7/up/no", frozenset(("publish",)), allow=False)]
    async with (
        Broker(LOCAL, access=Access(rules=Rules(rules), anonymous=True)) as far_broker,
        gateway(tmp_path / "gateway.db", settings(far_broker.addresses[0])) as (broker, uplink),
        Reader(far_broker.addresses[0], "#") as far,
    ):
        async with Client(broker.addresses[0], client_id="device", version="5.0") as device:
            await device.publish("up/no", b"x", 2, user_properties=[("k", "v")], content_type="text")
            assert await device.drain(TIMEOUT_S)
        await until(lambda: uplink.describe()["set_aside"])
        far_broker.set_access(Access(rules=Rules([Rule("#", every)]), anonymous=True))
        uplink.retry(uplink.dead_letters()[0]["id"])
        assert await far.got(1) == [("site-7/up/no", b"x")]
        assert far.messages[0].user_properties == [("k", "v"), ("mqttlite-hops", "1")]
        assert far.messages[0].content_type == "text"
        assert uplink.describe()["set_aside"] == 0


async def test_a_message_larger_than_the_upstream_takes_is_set_aside_before_it_is_sent(tmp_path: Path) -> None:
    async with (
        Broker(LOCAL, Limits(packet_bytes=2000)) as far_broker,
        gateway(tmp_path / "gateway.db", settings(far_broker.addresses[0])) as (broker, uplink),
        Reader(far_broker.addresses[0], "#") as far,
    ):
        await publish(broker.addresses[0], ("up/t", bytes(3000), 2), ("up/t", bytes(3000), 0), ("up/t", b"x", 2))
        assert await far.got(1) == [("site-7/up/t", b"x")]
        (letter,) = uplink.dead_letters()
        assert letter["bytes"] == 3000
        assert letter["cause"].endswith("and the upstream takes 2005") or "the upstream takes" in letter["cause"]
        assert uplink.describe()["refused"] == 2


async def test_a_message_at_which_an_upstream_of_3_1_1_always_ends_the_connection_does_not_keep_back_all_others(
    tmp_path: Path,
) -> None:
    async with (
        Broker(LOCAL, Limits(packet_bytes=2000), tmp_path / "far.db") as far_broker,
        Reader(far_broker.addresses[0], "#") as far,
    ):
        of = settings(far_broker.addresses[0], version="3.1.1", reconnect_max_s=0.02)
        async with gateway(tmp_path / "gateway.db", of) as (broker, uplink):
            await publish(
                broker.addresses[0], ("up/t", b"1", 2), ("up/t", bytes(3000), 2), ("up/t", b"2", 2), ("up/t", b"3", 2)
            )
            assert await far.got(3) == [("site-7/up/t", each) for each in (b"1", b"2", b"3")]
            (letter,) = uplink.dead_letters()
            assert letter["bytes"] == 3000
            assert letter["cause"] == "the upstream has ended the connection 12 times when it was sent this"


async def test_so_does_a_mosquitto_that_takes_no_large_packets(tmp_path: Path) -> None:
    with Mosquitto(tmp_path, settings={"max_packet_size": 2000}) as mosquitto:
        of = settings(mosquitto.url, version="3.1.1", reconnect_max_s=0.02)
        async with (
            gateway(tmp_path / "gateway.db", of) as (broker, uplink),
            Reader(mosquitto.url, "#") as far,
        ):
            await publish(broker.addresses[0], ("up/t", bytes(300_000), 1), ("up/t", b"2", 1), ("up/t", b"3", 2))
            assert await far.got(2) == [("site-7/up/t", each) for each in (b"2", b"3")]
            assert [each["bytes"] for each in uplink.dead_letters()] == [300_000]


async def test_when_there_is_no_room_to_set_aside_more_nothing_is_sent_and_nothing_lost(tmp_path: Path) -> None:
    every = frozenset(("publish", "subscribe", "receive"))
    rules = [Rule("#", every), Rule("site-7/up/no", frozenset(("publish",)), allow=False)]
    async with (
        Broker(LOCAL, access=Access(rules=Rules(rules), anonymous=True)) as far_broker,
        gateway(tmp_path / "gateway.db", settings(far_broker.addresses[0], dead_bytes=1500)) as (broker, uplink),
    ):
        await publish(broker.addresses[0], *[("up/no", bytes(1000), 2)] * 3)
        await until(lambda: "no room to set aside" in uplink.describe()["problem"])
        assert uplink.describe()["set_aside"] == 1
        assert uplink.describe()["queued"] == 2
        for _ in range(3):
            await until(uplink.dead_letters)
            uplink.drop(uplink.dead_letters()[0]["id"])
        await until(lambda: uplink.describe()["queued"] == 0 and not uplink.describe()["problem"])


async def test_what_the_broker_here_refuses_of_the_upstream_is_set_aside_and_passes_later(tmp_path: Path) -> None:
    async with Broker(LOCAL) as far_broker:
        of = settings(far_broker.addresses[0], inwards=(Route("#", "down/"),))
        limits = Limits(topic_bytes=30, packet_bytes=2000)
        async with (
            gateway(tmp_path / "gateway.db", of, limits) as (broker, uplink),
            Reader(broker.addresses[0], "down/#") as near,
        ):
            await until(lambda: uplink._kept.filters)
            await publish(far_broker.addresses[0], ("l" * 40, b"1", 2), ("big", bytes(3000), 2), ("t", b"2", 2))
            assert await near.got(1) == [("down/t", b"2")]
            await until(lambda: uplink.describe()["set_aside"] == 2)
            assert all(each["way"] == "in" for each in uplink.dead_letters())
            assert {each["topic"] for each in uplink.dead_letters()} == {"l" * 40, "big"}
            far_session = far_broker.engine.sessions[b"site-7"]
            await until(lambda: far_session.session.queued == 0)
            big = next(each for each in uplink.dead_letters() if each["topic"] == "big")
            uplink.retry(big["id"])
            assert (await near.got(2))[1] == ("down/big", bytes(3000))


async def test_a_subscription_that_the_upstream_refuses_is_said_and_the_rest_goes_on(tmp_path: Path) -> None:
    every = frozenset(("publish", "subscribe", "receive"))
    rules = [Rule("site-7/#", every), Rule("open/#", every)]
    async with Broker(LOCAL, access=Access(rules=Rules(rules), anonymous=True)) as far_broker:
        of = settings(far_broker.addresses[0], inwards=(Route("secret/#"), Route("open/#")))
        async with (
            gateway(tmp_path / "gateway.db", of) as (broker, uplink),
            Reader(broker.addresses[0], "open/#") as near,
        ):
            await until(lambda: "nothing comes for in = 'secret/#': not authorised" in uplink.describe()["problem"])
            await publish(far_broker.addresses[0], ("open/x", b"x", 1))
            assert await near.got(1) == [("open/x", b"x")]


@pytest.mark.parametrize("version", ["5.0", "3.1.1"])
async def test_refused_credentials_are_said_in_words(tmp_path: Path, version: str) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    passwords.chmod(0o600)
    more: dict[str, Any] = {"allow_anonymous": "false", "password_file": passwords}
    with Mosquitto(tmp_path, settings=more) as mosquitto:
        async with gateway(None, settings(mosquitto.url, version=version, username="me", password="x")) as (_, uplink):
            await until(lambda: "refuses the connection" in uplink.describe()["problem"])
            problem = uplink.describe()["problem"]
            assert "not authorised" in problem or "bad user name or password" in problem


async def test_an_upstream_that_says_busy_is_asked_again_later_and_no_message_is_blamed(tmp_path: Path) -> None:
    async def busy(peer: Peer) -> None:
        await peer.accept(bytes((0x20, 3, 0, 0, 0)))
        _, body = await peer.packet()
        at = 2 + (body[0] << 8 | body[1])
        peer.send(bytes((0x40, 3, body[at], body[at + 1], 0x97)))
        await peer.closed()

    async with (
        Scripted(busy) as far,
        gateway(tmp_path / "gateway.db", settings(far.url, version="5.0")) as (broker, uplink),
    ):
        await publish(broker.addresses[0], ("up/t", b"x", 1))
        await far.finished()
        await until(lambda: "takes nothing more now: a quota" in uplink.describe()["problem"])
        await asyncio.sleep(0.05)
        assert uplink.describe()["queued"] == 1
        assert uplink.describe()["set_aside"] == 0


async def test_an_upstream_that_ends_the_connection_for_its_quota_blames_no_message_however_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink_module, "PATIENT_S", 0.02)

    async def ends(peer: Peer) -> None:
        await peer.accept(ACCEPTED5)
        assert (await peer.packet())[0] & 0xF0 == 0x30
        peer.send(bytes((DISCONNECT, 1, QUOTA_EXCEEDED)))

    async def takes(peer: Peer) -> None:
        await peer.accept(ACCEPTED5)
        _, body = await peer.packet()
        at = 2 + (body[0] << 8 | body[1])
        peer.send(bytes((0x40, 2, body[at], body[at + 1])))
        await peer.closed()

    of = {"version": "5.0", "reconnect_max_s": 0.02}
    async with (
        Scripted(*[ends] * (2 * uplink_module.POISON), takes) as far,
        gateway(tmp_path / "gateway.db", settings(far.url, **of)) as (broker, uplink),
    ):
        await publish(broker.addresses[0], ("up/t", b"x", 1))
        await until(lambda: uplink.describe()["acknowledged"] == 1)
        assert uplink.describe()["set_aside"] == 0


async def test_a_message_that_alone_is_always_answered_with_busy_does_not_keep_back_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker of mqttlite says so of what has more user properties than it takes, and the bridge adds one."""
    monkeypatch.setattr(uplink_module, "PATIENT_S", 0.1)
    async with (
        Broker(LOCAL) as far_broker,
        Reader(far_broker.addresses[0], "#") as far,
        gateway(tmp_path / "gateway.db", settings(far_broker.addresses[0])) as (broker, uplink),
    ):
        async with Client(broker.addresses[0], client_id="device", version="5.0") as device:
            await device.publish("up/t", b"1", 2, user_properties=[(f"n{each}", "x") for each in range(16)])
            await device.publish("up/t", b"2", 2)
            assert await device.drain(TIMEOUT_S)
        payloads = []
        async with Client(broker.addresses[0], client_id="device", version="5.0") as device:
            while not uplink.describe()["set_aside"]:  # one behind it has to come
                payloads.append(b"%d" % (len(payloads) + 3))
                await device.publish("up/t", payloads[-1], 2)
                await asyncio.sleep(0.05)
            assert await device.drain(TIMEOUT_S)
        sent = [("site-7/up/t", each) for each in [b"2", *payloads]]
        assert sorted(await far.got(len(sent))) == sorted(sent), "each once"
        await until(lambda: uplink.describe()["set_aside"] == 1 and uplink.describe()["queued"] == 0)
        assert "quota" in uplink.dead_letters()[0]["cause"]
