"""What Prometheus reads: the format by its own client's parser, names and units by its rules, and true numbers."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from mqttlite.broker import Broker, Limits
from mqttlite.broker.counting.ledger import ACCOUNTS
from mqttlite.broker.counting.stats import Stats
from mqttlite.broker.limits import NAMES
from mqttlite.broker.operating.metrics import exposition
from mqttlite.broker.operating.metrics_page import CONNECTIONS_MAX, MetricsPage, address_of
from tests.broker.raw import TIMEOUT_S, RawClient, port_of

ANY = ["mqtt://127.0.0.1:0"]


def parsed(text: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(text: str, sample: str, **labels: str) -> float:
    """The value of one sample."""
    [found] = [
        each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
        if each.name == sample and each.labels == labels
    ]
    return float(found)


async def get(address: str, request: str = "GET /metrics HTTP/1.1") -> tuple[int, dict[str, str], str]:
    """Status, headers, body."""
    reader, writer = await asyncio.open_connection(*address_of(address))
    try:
        writer.write(f"{request}\r\nHost: {address}\r\n\r\n".encode())
        async with asyncio.timeout(TIMEOUT_S):
            answer = (await reader.read()).decode()
    finally:
        writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    return int(first.split()[1]), {line.partition(": ")[0]: line.partition(": ")[2] for line in lines}, body


@asynccontextmanager
async def page(**options: object) -> AsyncIterator[tuple[Broker, str]]:
    async with Broker(ANY, **options) as broker, MetricsPage(broker, "127.0.0.1:0") as shown:  # type: ignore[arg-type]
        yield broker, shown.address


async def test_the_page_is_read_by_the_parser_of_prometheus(tmp_path: Path) -> None:
    async with page(store=tmp_path / "broker.db") as (broker, address):
        async with RawClient(port_of(broker.addresses[0])) as client:
            await client.connect("c", clean=False)
            await client.subscribe("t", 1)
        code, headers, body = await get(address)
    assert (code, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert int(headers["Content-Length"]) == len(body.encode())
    found = parsed(body)
    assert found["mqttlite_store_sync_seconds"].type == "histogram"
    assert found["mqttlite_loop_lag_seconds"].type == "histogram"
    assert value(body, "mqttlite_store_sync_seconds_count") >= 1
    assert value(body, "mqttlite_store_commit_seconds_count") >= 1
    assert value(body, "mqttlite_healthy") == 1
    assert value(body, "mqttlite_store_size_bytes", file="tables") > 0
    assert value(body, "process_resident_memory_bytes") > 1 << 20


async def test_names_and_units_are_by_the_rules_of_prometheus(tmp_path: Path) -> None:
    """https://prometheus.io/docs/practices/naming: base units, one prefix, _total for counters and for nothing else."""
    async with page(store=tmp_path / "broker.db") as (_, address):
        _, _, body = await get(address)
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", body, re.MULTILINE))
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", body, re.MULTILINE))
    assert types.keys() == helps.keys()
    assert len(types) == len(re.findall("^# TYPE", body, re.MULTILINE)), "a family twice"
    for name, kind in types.items():
        assert re.fullmatch("(mqttlite|process)_[a-z0-9_]+", name)
        assert (kind == "counter") == name.endswith("_total"), name
        assert not re.search("_(ms|kb|mb|kib|mib|minutes|hours|count|sum|bucket)(_|$)", name), name
        assert kind != "histogram" or name.endswith("_seconds"), name
        assert "bytes" not in name or name.removesuffix("_total").endswith("_bytes"), name
    # A counter's name without _total may not be that of another family: OpenMetrics calls both by it.
    assert not {name.removesuffix("_total") for name in types if name.endswith("_total")} & types.keys()


async def test_everything_that_is_counted_is_there() -> None:
    async with Broker(ANY) as broker:
        for number, field in enumerate(fields(Stats), 1):
            if field.name != "limits":
                setattr(broker.stats, field.name, number)
        broker.stats.limits["filters"] = 7
        broker.stats.limits["store"] = 8
        text = exposition(broker)
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    counted = {each.value for each in samples if each.name.endswith("_total") and "limit" not in each.labels}
    others = ("limits", "connected")
    assert {float(n) for n, field in enumerate(fields(Stats), 1) if field.name not in others} <= counted
    hits = {each.labels["limit"]: each.value for each in samples if each.name == "mqttlite_limit_hits_total"}
    assert hits.keys() >= set(NAMES)
    assert (hits["filters"], hits["store"], hits["packet_bytes"]) == (7, 8, 0)
    accounts = {each.labels["account"] for each in samples if each.name == "mqttlite_held_bytes"}
    assert accounts == set(ACCOUNTS)


async def test_queues_sessions_and_doubt_are_what_they_are() -> None:
    async with page() as (broker, address):
        port = port_of(broker.addresses[0])
        async with RawClient(port) as away:
            await away.connect("away", clean=False)
            await away.subscribe("t", 1)
        async with RawClient(port) as here, RawClient(port) as publisher:
            await here.connect("here")
            await here.subscribe("t", 2)
            await publisher.connect("p")
            publisher.publish("t", b"x", 2)
            publisher.publish("r", b"x", 1, retain=True)
            assert [(await publisher.packet()).kind for _ in range(2)] == ["pubrec", "puback"]
            assert (await here.packet()).kind == "publish"
            _, _, body = await get(address)
    assert value(body, "mqttlite_sessions", state="connected") == 2
    assert value(body, "mqttlite_sessions", state="disconnected") == 1
    assert value(body, "mqttlite_persistent_sessions") == 1
    assert value(body, "mqttlite_open_connections") == 2
    assert value(body, "mqttlite_queued_messages") == 2
    assert value(body, "mqttlite_messages_in_doubt", direction="out") == 1
    assert value(body, "mqttlite_messages_in_doubt", direction="in") == 1
    assert value(body, "mqttlite_retained_messages") == 1
    assert value(body, "mqttlite_subscriptions", kind="plain") == 2
    assert value(body, "mqttlite_messages_received_total") == 2
    assert value(body, "mqttlite_held_bytes", account="queued") > 0


async def test_no_client_makes_a_series() -> None:
    """Client identifiers are chosen by strangers: with one as a label, they would fill Prometheus' memory."""
    async with page() as (broker, address):
        _, _, before = await get(address)
        async with RawClient(port_of(broker.addresses[0])) as client:
            await client.connect('an "odd"\nname')
            await client.subscribe("some/+/filter", 0)
            _, _, after = await get(address)
    assert "odd" not in after
    assert re.findall("(?m)^[^# ]+", after) == re.findall("(?m)^[^# ]+", before)


async def test_a_limit_that_bites_is_counted_by_its_name() -> None:
    async with page(limits=Limits(filters=1)) as (broker, address):
        async with RawClient(port_of(broker.addresses[0])) as client:
            await client.connect("c")
            client.send("subscribe", packet_id=1, subscriptions=[("a", 0), ("b", 0)])
            assert (await client.packet()).fields["codes"] == [0, 0x80]
        _, _, body = await get(address)
    assert value(body, "mqttlite_limit_hits_total", limit="filters") == 1
    assert value(body, "mqttlite_limit", limit="filters") == 1


@pytest.mark.parametrize(
    ("request_line", "code"),
    [
        ("GET /healthz HTTP/1.1", 200),
        ("HEAD /metrics HTTP/1.0", 200),
        ("GET /metrics?x=1 HTTP/1.1", 200),
        ("GET / HTTP/1.1", 404),
        ("POST /metrics HTTP/1.1", 405),
        ("hello", 400),
        ("GET /" + "a" * 10_000 + " HTTP/1.1", 400),
    ],
)
async def test_the_page_answers_requests_of_all_kinds(request_line: str, code: int) -> None:
    async with page() as (_, address):
        found, _, body = await get(address, request_line)
    assert found == code
    assert bool(body) != request_line.startswith("HEAD")


async def test_a_store_that_fails_is_not_healthy(tmp_path: Path) -> None:
    from mqttlite.store.base import StoreError

    async with page(store=tmp_path / "broker.db") as (broker, address):
        assert (await get(address, "GET /healthz HTTP/1.1"))[0] == 200
        broker._fail(StoreError("the disk is gone"))
        code, _, body = await get(address, "GET /healthz HTTP/1.1")
        assert (code, body) == (503, "the store has failed: the disk is gone\n")
        assert value((await get(address))[2], "mqttlite_healthy") == 0


async def test_whoever_says_nothing_holds_nobody_up() -> None:
    """Beyond a number of connections new ones are closed at once; the page answers when one of the others has gone."""
    async with page() as (_, address):
        opened = [await asyncio.open_connection(*address_of(address)) for _ in range(CONNECTIONS_MAX + 4)]
        try:
            for reader, _ in opened[CONNECTIONS_MAX:]:
                assert await reader.read(1) == b""
            opened[0][1].write_eof()
            assert await opened[0][0].read(1) == b""  # and so it is done with
            assert (await get(address))[0] == 200
        finally:
            for _, writer in opened:
                writer.close()


@pytest.mark.parametrize("text", ["9883", "localhost", "localhost:x", ":9883", "h:70000", ""])
def test_an_address_that_is_none_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no HOST:PORT, such as 127\.0\.0\.1:9883"):
        address_of(text)


async def test_an_address_that_is_taken_is_said(tmp_path: Path) -> None:
    async with page() as (broker, address):
        with pytest.raises(OSError, match=f"metrics: cannot listen on {address}: "):
            async with MetricsPage(broker, address):
                pass


@pytest.mark.parametrize(("host", "is_told"), [("127.0.0.1", False), ("[::1]", False), ("0.0.0.0", True)])
async def test_a_page_that_others_can_read_is_told(host: str, is_told: bool, caplog: pytest.LogCaptureFixture) -> None:
    async with Broker(ANY) as broker, MetricsPage(broker, f"{host}:0") as shown:
        assert shown.address.startswith(f"{host}:")
        assert ("everybody who reaches" in caplog.text) is is_told
