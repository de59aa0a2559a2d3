"""The stream of events: what a browser is told, and what one costs that takes nothing."""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from mqttlite.broker import Broker
from mqttlite.broker.listening.listener import Tls
from mqttlite.client import Client
from mqttlite_gateway.page import crowd, streams
from mqttlite_gateway.page.parts import Parts, as_json
from mqttlite_gateway.page.people import Visitor
from mqttlite_gateway.page.rates import Rates
from mqttlite_gateway.page.samples import DAY, HOUR, KEYS_MAX, LINE, STEP_S, Samples, Shape
from mqttlite_gateway.page.server import Page
from mqttlite_gateway.settings.page import PageSettings
from tests.certificates import Certificates

from . import shown
from .browser import leave
from .test_door import browsing, event

OK = b"HTTP/1.1 200 OK"


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 # the server has no event for it
            await asyncio.sleep(0.01)


def test_a_browser_is_told_what_has_changed_since_it_was_told_last() -> None:
    parts, known = Parts(), {}
    parts.put_all({"line/a": {"x": 1}, "line/b": 2, "gateway": 3}, ("line", "gateway"))
    assert json.loads(parts.news(known)) == {"set": {"line/a": {"x": 1}, "line/b": 2, "gateway": 3}, "gone": []}
    assert parts.news(known) == "" and not parts.put_all({"gateway": 3}, ("gateway",))
    for number in range(100):  # of which a slow one sees the last
        parts.put_all({"line/a": number, "line/b": 2}, ("line",))
    assert json.loads(parts.news(known)) == {"set": {"line/a": 99}, "gone": []}
    parts.put_all({"line/a": 99}, ("line",))
    assert json.loads(parts.news(known)) == {"set": {}, "gone": ["line/b"]}


def test_what_is_no_number_for_browsers_is_null() -> None:
    assert as_json({"a": float("nan"), "b": [float("inf"), 1.23456], "c": b"\xff", "d": None}) == (
        '{"a":null,"b":[null,1.235],"c":"\ufffd","d":null}'.replace("\ufffd", "\\ufffd")
    )


def test_of_topics_that_come_faster_than_a_browser_takes_them_the_newest_stay_and_the_rest_is_counted() -> None:
    stream = streams.Stream(Visitor(None, True, "", ""))
    for number in range(streams.TAIL_MAX + 7):
        stream.show({"n": number})
    first, left_out = stream.messages()
    second, none = stream.messages()
    assert left_out == 7 and none == 0
    assert [each["n"] for each in first + second] == list(range(7, streams.TAIL_MAX + 7))


async def test_a_browser_that_takes_nothing_costs_a_known_buffer_and_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STALL_S", 0.5)
    monkeypatch.setattr(streams, "EVERY_S", 0.01)
    async with (
        Broker(["mqtt://127.0.0.1:0"]) as broker,
        Page(shown.gateway(broker=broker), PageSettings(listen="http://127.0.0.1:0")) as page,
        browsing(page) as browser,
    ):
        port = int(page.url.rpartition(":")[2])
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # the system takes less for it meanwhile
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
        writer.write(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        while not (line := await reader.readline()).startswith(b'data: {"stream"'):
            assert line
        browser.csrf = json.loads((await browser.get("/api/me"))[1])["csrf"]
        name = json.loads(line.removeprefix(b"data: "))["stream"]
        assert (await browser.post("/api/tail", {"stream": name, "filter": "#"}))[0] == 200
        writer.transport.pause_reading()
        (connection,) = [each for each in page._connections() if each.transport not in (None,)][:1]
        greatest = 0
        async with Client(broker.addresses[0]) as client:
            began = time.monotonic()
            while len(page._streams) and time.monotonic() - began < 30:  # however fast the broker takes them
                await client.publish("flood", b"x" * 1000, qos=1)
                if connection.transport:
                    greatest = max(greatest, connection.transport.get_write_buffer_size())
        assert not len(page._streams), "it is still there"
        assert greatest < streams.BUFFER_BYTES + streams.TAIL_SEND * 2000
        await leave(writer)


async def test_only_so_many_browsers_of_one_place_are_served() -> None:
    page = Page(shown.gateway(shown.line("/dev/ttyUSB0")), PageSettings(listen="http://127.0.0.1:0"))
    async with page, browsing(page) as browser:
        open_ = [await browser.session.get(page.url + "/events") for _ in range(streams.STREAMS_EACH)]
        for each in open_:
            await event(each, "state")
        status, text = await browser.get("/events")
        assert status == 503 and "close one" in text
        open_[0].close()
        await until(lambda: len(page._streams) < streams.STREAMS_EACH)
        again = await browser.session.get(page.url + "/events")
        assert again.status == 200
        for each in (*open_, again):
            each.close()


async def test_what_is_retained_upstream_is_shown_in_forward_mode_too() -> None:
    async with Broker(["mqtt://127.0.0.1:0"]) as broker:
        async with Client(broker.addresses[0]) as client:
            await client.publish("home/heat", b"21", qos=1, retain=True)
        gateway = shown.gateway()
        gateway.config.upstream, gateway.config.tls = broker.addresses[0], {}
        async with Page(gateway, PageSettings(listen="http://127.0.0.1:0")) as page, browsing(page) as browser:
            browser.csrf = json.loads((await browser.get("/api/me"))[1])["csrf"]
            async with browser.session.get(page.url + "/events") as stream:
                name = json.loads(await event(stream, "hello"))["stream"]
                assert (await browser.post("/api/tail", {"stream": name, "filter": "home/#"}))[0] == 200
                news = json.loads(await event(stream, "tail"))
                assert news["filter"] == "home/#" and [each["topic"] for each in news["messages"]] == ["home/heat"]
            await until(lambda: "page: topics" not in {task.get_name() for task in asyncio.all_tasks()})


async def test_a_browser_that_goes_before_it_is_answered_leaves_no_stream_behind() -> None:
    async with Page(shown.gateway(), PageSettings(listen="http://127.0.0.1:0")) as page, browsing(page) as browser:
        port = int(page.url.rpartition(":")[2])
        for _ in range(3 * streams.STREAMS_EACH):
            with socket.create_connection(("127.0.0.1", port)) as sock:
                sock.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
            await asyncio.sleep(0.002)
        await until(lambda: not page._connections() and not len(page._streams))
        async with browser.session.get(page.url + "/events") as answer:
            assert answer.status == 200


async def test_a_connection_that_asks_for_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "FIRST_REQUEST_S", 0.1)
    monkeypatch.setattr(crowd, "LOOK_S", 0.05)
    async with Page(shown.gateway(), PageSettings(listen="http://127.0.0.1:0")) as page:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(page.url.rpartition(":")[2]))
        writer.write(b"GET / HT")
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(20):
                await reader.read()
                raise ConnectionResetError  # closed in good order is as good
        await leave(writer)


class Caller:
    """A connection from an address of loopback that is kept open between requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self) -> bytes:
        """The first line of the answer to a request; b"": it is closed."""
        self.writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            await self.reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        return head.partition(b"\r\n")[0]


@contextlib.asynccontextmanager
async def calling(page: Page, *hosts: str) -> AsyncIterator[list[Caller]]:
    """Connections, each from one of these addresses, one after the other, each with a request."""
    port = int(page.url.rpartition(":")[2])
    callers = []
    try:
        async with asyncio.timeout(20):
            for host in hosts:
                callers.append(Caller(*await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0))))
                await callers[-1].ask()
            yield callers
    finally:
        for caller in callers:
            await leave(caller.writer)


async def test_an_address_with_very_many_connections_keeps_nobody_else_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "CONNECTIONS_MAX", 5)
    many = ["127.0.0.9"] * 4
    hosts = ("127.0.0.2", *many, "127.0.0.3", "127.0.0.4")
    page = Page(shown.gateway(), PageSettings(listen="http://127.0.0.1:0"))
    async with page, calling(page, *hosts) as callers:
        answers = [await caller.ask() for caller in callers]
        assert answers == [OK, b"", b"", OK, OK, OK, OK], "the oldest two of those that are one address's"


async def test_where_each_address_has_one_connection_the_last_one_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "CONNECTIONS_MAX", 3)
    page = Page(shown.gateway(), PageSettings(listen="http://127.0.0.1:0"))
    async with page, calling(page, *(f"127.0.0.{last}" for last in range(2, 6))) as callers:
        assert [await caller.ask() for caller in callers] == [OK, OK, OK, b""]


async def test_many_that_shake_hands_at_once_are_no_more_than_there_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowd, "CONNECTIONS_MAX", 3)
    made = Certificates(tmp_path)
    pair = made.server("127.0.0.1")
    trusting = ssl.create_default_context(cafile=made.ca)
    settings = PageSettings(listen="https://127.0.0.1:0")
    async with Page(shown.gateway(), settings, tls=Tls(pair.certificate, pair.key)) as page:
        port = int(page.url.rpartition(":")[2])
        callers = [Caller(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(6)]
        for caller in callers:
            with contextlib.suppress(OSError):
                await caller.writer.start_tls(trusting, server_hostname="127.0.0.1")
        assert len(page._connections()) <= 3
        assert [await caller.ask() for caller in callers] == [b"", b"", b"", OK, OK, OK]
        for caller in callers:
            await leave(caller.writer)


async def test_what_asks_for_nothing_goes_before_what_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crowd, "CONNECTIONS_MAX", 3)
    async with Page(shown.gateway(), PageSettings(listen="http://127.0.0.1:0")) as page, browsing(page) as browser:
        stream = await browser.session.get(page.url + "/events")
        await event(stream, "state")
        port = int(page.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)  # says nothing
        await until(lambda: len(page._connections()) == 2)
        async with calling(page, "127.0.0.1", "127.0.0.2") as callers:
            assert await reader.read() == b""
            assert [await caller.ask() for caller in callers] == [OK, OK]
            assert not stream.closed
        stream.close()
        await leave(writer)


# -- what plots are drawn of


def test_samples_of_an_hour_and_a_day_stay_and_gaps_are_gaps() -> None:
    samples = Samples(Shape(("mean", "most"), frozenset({"most"})))
    for step in range(3 * HOUR):
        if step % HOUR != 5:
            samples.put("a", step * STEP_S, (step, step))
    now = (3 * HOUR - 1) * STEP_S
    rows = samples.rows("a", "hour", now)
    assert len(rows) == HOUR and rows[-1][0] == 3 * HOUR - 1 and rows[5][0] != rows[5][0]
    day = samples.rows("a", "day", now)
    assert len(day) == DAY and day[-1] == [sum(range(1050, 1080)) / 30, 1079]
    later = samples.rows("a", "hour", now + 100)
    assert later[-11] == rows[-1] and all(row[0] != row[0] for row in later[-10:])
    assert samples.rows("b", "hour", now) == []


def test_a_clock_that_is_set_back_begins_anew() -> None:
    samples = Samples(LINE)
    samples.put("a", 10_000, [1] * 5)
    samples.put("a", 5_000, [2] * 5)
    rows = samples.rows("a", "hour", 5_000)
    assert rows[-1] == [2.0] * 5 and all(row[0] != row[0] for row in rows[:-1])


def test_samples_of_so_many_lines_are_kept() -> None:
    samples = Samples(LINE)
    for number in range(KEYS_MAX + 10):
        samples.put(str(number), 0, [0] * 5)
    assert len(samples) == KEYS_MAX and not samples.rows("0", "hour", 0)


def test_a_rate_is_growth_over_the_last_half_minute_and_a_counter_may_begin_anew() -> None:
    rates = Rates()
    found: dict[str, float] = {}
    for second in range(0, 100, 2):
        found = rates.of("a", second, {"n": 10 * second})
    assert found == {"n_s": 10.0} and 280 <= rates.gained("a", "n") <= 340
    assert rates.of("a", 100, {"n": 5}) == {} and rates.of("a", 102, {"n": 25}) == {"n_s": 10.0}


async def test_looking_costs_the_gateway_little(record_property: Any) -> None:
    """A look at 100 lines, as it is made every two seconds while somebody has the page open."""
    lines = [shown.line(f"/dev/ttyUSB{number}", f"device-{number}") for number in range(100)]
    page = Page(shown.gateway(*lines), PageSettings(listen="http://127.0.0.1:0"))
    page._refresh()
    began = time.process_time()
    for number in range(10):
        for line in lines:
            line.state["up_bytes"] = number
        page._refresh()
    took_ms = (time.process_time() - began) * 100
    record_property("ms", took_ms)
    assert took_ms < 200
