"""Messages do not go round and round, whatever leads back to where they came from; keys and properties come along."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from mqttlite.broker import Broker, Limits
from mqttlite.client import Client
from mqttlite_gateway.bridge.uplink import BridgeUplink
from mqttlite_gateway.settings.upstream import Route, with_upstreams

from .world import KINDS, LOCAL, TIMEOUT_S, VERSIONS, Reader, gateway, settings, until, upstream

EVERYTHING = (Route("#"),)


@pytest.mark.parametrize(("kind", "version"), [(kind, version) for kind in KINDS for version in VERSIONS])
async def test_two_gateways_that_pass_everything_both_ways_give_each_message_to_everybody_once(
    tmp_path: Path, kind: str, version: str
) -> None:
    async with upstream(kind, tmp_path) as url:
        one, two = (
            settings(url, version=version, client_id=name, out=EVERYTHING, inwards=EVERYTHING)
            for name in ("one", "two")
        )
        async with (
            gateway(tmp_path / "one.db", one) as (near, first),
            gateway(tmp_path / "two.db", two) as (far, second),
            Reader(near.addresses[0], "#", client_id="near") as here,
            Reader(url, "#", client_id="middle") as middle,
            Reader(far.addresses[0], "#", client_id="far") as there,
        ):
            await until(lambda: first._kept.filters and second._kept.filters)
            async with Client(near.addresses[0], client_id="device") as device:
                for number in range(6):
                    await device.publish("t", b"%d" % number, number % 3)
                assert await device.drain(TIMEOUT_S)
            wanted = sorted(("t", b"%d" % number) for number in range(6))
            assert sorted(await there.got(6)) == wanted
            await here.got(6)
            await asyncio.sleep(0.1)
            seen = [sorted((each.topic, each.payload) for each in reader.messages) for reader in (here, middle, there)]
            if kind == "own" and version == "3.1.1":  # which cannot say No Local: it comes back once, and no further
                assert set(seen[0]) == set(wanted)
                seen = seen[1:]
            assert all(each == wanted for each in seen)


async def test_a_ring_of_bridges_ends_when_a_message_has_passed_as_many_as_it_may(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        tops = [await enter(Broker(LOCAL)) for _ in range(2)]
        uplinks, brokers = [], []
        for number in range(2):
            both = [
                settings(
                    top.addresses[0],
                    name=f"up{at}",
                    client_id=f"site{number}",
                    out=EVERYTHING,
                    inwards=EVERYTHING,
                    hops_max=6,
                )
                for at, top in enumerate(tops)
            ]
            broker = await enter(Broker(LOCAL, with_upstreams(Limits(), both), tmp_path / f"{number}.db"))
            brokers.append(broker)
            for each in both:
                uplink = BridgeUplink(each, broker)
                uplink.prepare()
                await uplink.start()
                stack.push_async_callback(uplink.stop)
                uplinks.append(uplink)
        await until(lambda: all(uplink._kept.filters for uplink in uplinks))
        reader = await enter(Reader(brokers[1].addresses[0], "#"))
        async with Client(brokers[0].addresses[0], client_id="device") as device:
            await device.publish("t", b"x", 1)
            assert await device.drain(TIMEOUT_S)
        await until(lambda: sum(uplink.describe()["dropped"].get("loop", 0) for uplink in uplinks))
        await until(lambda: all(not uplink.describe()["queued"] for uplink in uplinks))
        await asyncio.sleep(0.1)
        count = len(reader.messages)
        await asyncio.sleep(0.1)
        assert len(reader.messages) == count, "it has come to rest"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("device_version", VERSIONS)
async def test_a_key_is_known_at_the_other_end_whichever_versions_are_between(
    tmp_path: Path, version: str, device_version: str
) -> None:
    async with (
        upstream("own", tmp_path) as url,
        gateway(tmp_path / "gateway.db", settings(url, version=version)) as (broker, _),
    ):
        for reader_version in VERSIONS:
            keyed = Client(url, client_id=f"reader{reader_version}", version=reader_version, keys=True)
            async with (
                keyed as reader,
                Client(broker.addresses[0], client_id="device", version=device_version, keys=True) as device,
            ):
                await reader.subscribe("site-7/#", 2)
                await device.publish("up/t", b"x", 2, key=("pump", len(reader_version)))
                assert await device.drain(TIMEOUT_S)
                async with asyncio.timeout(TIMEOUT_S):
                    message = await anext(reader.__aiter__())
                if device_version == "5.0" and version == "5.0" and reader_version == "3.1.1":
                    assert message.payload == b"x"  # the upstream has no key for it: it is a property of 5.0
                else:
                    assert (message.key, message.payload) == (("pump", 0, len(reader_version)), b"x")


async def test_properties_and_retained_messages_go_over_and_time_counts_down(tmp_path: Path) -> None:
    async with Broker(LOCAL) as far:
        of = settings(
            far.addresses[0],
            out=(Route("up/#"), Route("plain/#", retain=False)),
            inwards=(Route("down/#"),),
        )
        async with Client(far.addresses[0], client_id="office", version="5.0") as office:
            await office.publish("down/kept", b"d", 1, retain=True)
            assert await office.drain(TIMEOUT_S)
        async with gateway(tmp_path / "gateway.db", of) as (broker, _):
            async with Client(broker.addresses[0], client_id="device", version="5.0") as device:
                more = {"content_type": "text", "response_topic": "answers", "correlation_data": b"\1"}
                await device.publish("up/kept", b"u", 1, retain=True, expires_after_s=600, **more)
                await device.publish("plain/kept", b"p", 1, retain=True)
                assert await device.drain(TIMEOUT_S)
            router = far.engine.router
            await until(lambda: router.retained.get(b"up/kept"))
            await until(lambda: broker.engine.router.retained.get(b"down/kept"))
            assert router.retained.get(b"plain/kept") is None
            async with Reader(far.addresses[0], "up/#") as reader:
                await reader.got(1)
                (message,) = reader.messages
                assert (message.retain, message.content_type, message.response_topic) == (True, "text", "answers")
                assert message.correlation_data == b"\1"
                assert 590 <= (message.expires_after_s or 0) <= 600
