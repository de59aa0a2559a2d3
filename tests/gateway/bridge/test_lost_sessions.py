"""One side has lost the session, in each way: nothing is lost, nothing swallowed, and what is in doubt is said."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mqttlite.broker.clients import forms
from mqttlite.broker.inside import end_session
from mqttlite.client import Client
from mqttlite.core import session
from mqttlite.core.codec import acknowledgement, decode_packet_id
from mqttlite.core.packet_types import PINGREQ, PINGRESP, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, SUBSCRIBE
from mqttlite_gateway.settings.upstream import Route
from tests.broker.raw import Cutter, RawClient, port_of
from tests.peers import Mosquitto

from .scripted import ACCEPTED, ACCEPTED5, RESUMED, RESUMED5, Peer, Scripted
from .world import TIMEOUT_S, VERSIONS, Reader, gateway, settings, until

FEW = 3000  # packet identifiers, for quickness
CONNACKS = {"5.0": (ACCEPTED5, RESUMED5), "3.1.1": (ACCEPTED, RESUMED)}


def identifier(body: bytes) -> int:
    """Of a PUBLISH of QoS 1 or 2, or of an acknowledgement."""
    return decode_packet_id(body, 2 + (body[0] << 8 | body[1]), len(body))


async def publish(url: str, *payloads: bytes, key: bool = False, version: str = "5.0") -> None:
    async with Client(url, client_id="device", version=version, keys=key) as device:
        for number, payload in enumerate(payloads):
            await device.publish("up/t", payload, 2, key=("device", number) if key else None)
        assert await device.drain(TIMEOUT_S)


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_upstream_that_lost_the_session_gets_again_what_it_may_not_have_and_doubt_is_said(
    tmp_path: Path, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    accepted, _ = CONNACKS[version]
    found: list[tuple[int, bytes]] = []

    async def releases_the_first_two(peer: Peer) -> None:
        await peer.accept(accepted)
        seen: list[int] = []
        while sorted(seen) != [0x34, 0x34, 0x34, PUBREL, PUBREL]:
            first, body = await peer.packet()
            seen.append(first)
            if first == 0x34 and seen.count(0x34) < 3:
                peer.send(acknowledgement(PUBREC, identifier(body)))

    async def knows_nothing(peer: Peer) -> None:
        await peer.accept(accepted)
        while True:
            first, body = await peer.packet()
            if first & 0xF0 == PUBLISH:
                found.append((first, body))
                peer.send(acknowledgement(PUBREC, identifier(body)))
            elif first == PUBREL:
                peer.send(acknowledgement(PUBCOMP, body[0] << 8 | body[1]))

    async with (
        Scripted(releases_the_first_two, knows_nothing) as far,
        gateway(tmp_path / "gateway.db", settings(far.url, version=version)) as (broker, uplink),
    ):
        await publish(broker.addresses[0], b"keyed", key=True)
        await publish(broker.addresses[0], b"plain", b"unsent")
        await until(lambda: len(found) == 2)
        assert [body[-5:] for _, body in found] == [b"nsent", b"keyed"]
        assert all(first == 0x34 for first, _ in found), "it is a new session, so nothing is a repeat"
        (letter,) = uplink.dead_letters()
        assert (letter["payload"], letter["topic"], letter["qos"]) == ("plain", "up/t", 2)
        assert letter["cause"].startswith("in doubt: the upstream has lost its session between PUBREC and PUBCOMP")
        assert "it has lost the session" in caplog.text
        assert "1 have an idempotency key and are sent again, 1 are set aside" in caplog.text
        await until(lambda: uplink.describe()["queued"] == 0)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_message_of_a_session_that_the_upstream_began_anew_is_not_taken_for_a_repeat(
    tmp_path: Path, version: str
) -> None:
    accepted, resumed = CONNACKS[version]
    empty = b"\0" if version == "5.0" else b""
    publish2 = b"\x34" + bytes((7 + len(empty),)) + b"\0\2in\0\1" + empty + b"x"

    def script(connack: bytes, releases: bool) -> Any:
        async def run(peer: Peer) -> None:
            await peer.accept(connack)
            first, body = await peer.packet() if connack == accepted else (0, b"")
            if first == SUBSCRIBE:
                peer.send(bytes((SUBACK, 3 + len(empty))), body[:2], empty, b"\2")
            peer.send(publish2)
            while (await peer.packet())[0] != PUBREC:
                pass
            if releases:
                peer.send(acknowledgement(PUBREL, 1))
                assert (await peer.packet())[0] == PUBCOMP
                await peer.closed()

        return run

    scripts = [script(accepted, False), script(resumed, False), script(accepted, True)]
    of_in = (Route("in", "here/"),)
    async with Scripted(*scripts) as far:
        of = settings(far.url, version=version, inwards=of_in, out=())
        async with gateway(tmp_path / "gateway.db", of) as (broker, _), Reader(broker.addresses[0], "here/#") as near:
            assert await near.got(2) == [("here/in", b"x")] * 2
            await asyncio.sleep(0.05)
            assert len(near.messages) == 2  # that of the first connection, again in the second; and the new one


@pytest.mark.parametrize("version", ["3.1.1"])
async def test_a_gateway_that_lost_its_store_has_nothing_swallowed_by_a_session_that_the_upstream_still_has(
    tmp_path: Path, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Mosquitto(tmp_path) as mosquitto:
        async with Cutter(mosquitto.port, []) as wire, Reader(mosquitto.url, "site-7/#", version=version) as far:
            of = settings(f"mqtt://127.0.0.1:{wire.port}", version=version, inwards=(Route("down/#"),))
            async with gateway(tmp_path / "one.db", of) as (broker, uplink):
                await until(lambda: uplink._joined and uplink._joined.relay.is_subscribed)
                relay = uplink._joined.relay  # type: ignore[union-attr]
                relay._release = lambda packet_id, now: None  # type: ignore[method-assign]
                await publish(broker.addresses[0], b"1", b"2", b"3")
                await mosquitto.logged("Sending PUBREC to site-7", 3)
            async with RawClient(mosquitto.port) as office:  # while the gateway is away
                await office.connect("office")
                office.publish("down/x", b"command", 1, 1)
                await office.packet()
            async with gateway(tmp_path / "two.db", of) as (broker, uplink), Reader(broker.addresses[0], "#") as near:
                await near.got(1)  # what the upstream had for us is not lost with our store
                await publish(broker.addresses[0], b"4", b"5")
                await until(lambda: {b"4", b"5"} <= {each.payload for each in far.messages})
                assert "nothing is known here" in caplog.text
                await until(lambda: uplink.describe()["queued"] == 0)
            assert sorted(each.payload for each in far.messages) == [b"1", b"2", b"3", b"4", b"5"]
            assert port_of(mosquitto.url) == mosquitto.port


async def test_another_upstream_is_another_session_whatever_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The URL has changed: packet identifiers of the one before mean nothing to it."""
    for owner in (session, forms):
        monkeypatch.setattr(owner, "SPAN", FEW)

    async def releases(peer: Peer) -> None:
        await peer.accept(ACCEPTED)
        _, body = await peer.packet()
        peer.send(acknowledgement(PUBREC, identifier(body)))
        assert (await peer.packet())[0] == PUBREL

    async def resumes(peer: Peer) -> None:
        await peer.accept(RESUMED)
        assert (await peer.packet())[0] == PINGREQ
        peer.send(bytes((PINGRESP, 0)))
        count = 0
        while count < FEW:
            first, body = await peer.packet()
            assert first == PUBREL
            count += 1
            peer.send(acknowledgement(PUBCOMP, body[0] << 8 | body[1]))
        first, body = await peer.packet()
        assert (first, body[-3:]) == (0x34, b"two")
        peer.send(acknowledgement(PUBREC, identifier(body)))
        await peer.closed()

    async with (
        Scripted(releases) as one,
        gateway(tmp_path / "gateway.db", settings(one.url, version="3.1.1")) as (broker, _),
    ):
        await publish(broker.addresses[0], b"one")
        await one.finished()
    async with (
        Scripted(resumes) as two,
        gateway(tmp_path / "gateway.db", settings(two.url, version="3.1.1")) as (broker, uplink),
    ):
        await publish(broker.addresses[0], b"two")
        await until(lambda: uplink.describe()["acknowledged"] == 1)
        assert [each["payload"] for each in uplink.dead_letters()] == ["one"]


async def falls_mute(peer: Peer) -> None:
    await peer.accept(RESUMED)
    assert (await peer.packet())[0] == PINGREQ
    peer.send(bytes((PINGRESP, 0)))
    await peer.closed()


async def has_qos_2(peer: Peer) -> None:
    await peer.accept(RESUMED)
    assert (await peer.packet())[0] == PINGREQ
    peer.send(bytes((PINGRESP, 0)))
    for _ in range(FEW):
        _, body = await peer.packet()
        peer.send(acknowledgement(PUBCOMP, body[0] << 8 | body[1]))
    first, body = await peer.packet()
    assert first == 0x34
    peer.send(acknowledgement(PUBREC, identifier(body)))
    await peer.closed()


async def test_an_upstream_that_was_mute_for_a_moment_is_still_one_with_qos_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner in (session, forms):
        monkeypatch.setattr(owner, "SPAN", FEW)
    async with (
        Scripted(falls_mute, has_qos_2) as far,
        gateway(tmp_path / "gateway.db", settings(far.url, version="3.1.1", timeout_s=0.3)) as (broker, uplink),
    ):
        await publish(broker.addresses[0], b"two")
        await until(lambda: uplink.describe()["acknowledged"] == 1)


async def test_that_another_upstream_was_mute_before_says_nothing_of_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner in (session, forms):
        monkeypatch.setattr(owner, "SPAN", FEW)
    async with (
        Scripted(falls_mute) as one,
        gateway(tmp_path / "gateway.db", settings(one.url, version="3.1.1", timeout_s=0.3)) as (broker, uplink),
    ):
        await until(lambda: uplink._kept.deaf)
    async with (
        Scripted(falls_mute, has_qos_2) as two,
        gateway(tmp_path / "gateway.db", settings(two.url, version="3.1.1", timeout_s=0.3)) as (broker, uplink),
    ):
        await publish(broker.addresses[0], b"two")
        await until(lambda: uplink.describe()["acknowledged"] == 1)
        assert uplink._kept.takes_one == uplink._kept.deaf == ""


async def test_a_session_that_an_operator_has_removed_begins_anew_and_collects_what_it_should(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Mosquitto(tmp_path) as mosquitto:
        of = settings(mosquitto.url)
        async with gateway(tmp_path / "gateway.db", of) as (broker, uplink), Reader(mosquitto.url, "#") as far:
            await publish(broker.addresses[0], b"1", b"2")
            await far.got(2)
            before = uplink._joined
            assert end_session(broker, "cloud")
            await until(lambda: uplink._joined is not before and uplink.describe()["connected"])
            assert "the packet identifiers that it may hold are given up first" in caplog.text
            await publish(broker.addresses[0], b"3", b"4")
            assert [payload for _, payload in await far.got(4)] == [b"1", b"2", b"3", b"4"]
