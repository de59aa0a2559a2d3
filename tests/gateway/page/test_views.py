"""The page in a real browser: each view shows what the gateway says, whatever that is, on any screen, by keyboard."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mqttlite.broker import Broker, Limits
from mqttlite.broker.named_rules import NamedRule
from mqttlite.client import Client
from mqttlite_gateway.page.server import Page
from mqttlite_gateway.settings.page import PageSettings

from . import shown
from .browser import Tab, leave

PORT = "/dev/serial/by-id/usb-FTDI_A502-if00"
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>"
NOW_MS = int(time.time() * 1000)
KEY = "greenhouse-7/3/1042"
WAY = {
    "key": KEY,
    "topic": "sensors/heat",
    "lanes": ["greenhouse-7", "gateway", "cloud"],
    "steps": [
        {"at_ms": NOW_MS - 90_000, "what": "accepted", "from": "greenhouse-7", "to": "gateway", "detail": "PUBLISH"},
        {"at_ms": NOW_MS - 89_990, "what": "stored", "from": "gateway", "to": "gateway", "detail": ""},
        {"at_ms": NOW_MS - 10, "what": "forwarded", "from": "gateway", "to": "cloud", "detail": EVIL},
    ],
}


@asynccontextmanager
async def page_of(gateway: Any) -> AsyncIterator[Page]:
    async with Page(gateway, PageSettings(listen="http://127.0.0.1:0")) as page:
        yield page


@asynccontextmanager
async def bridge(*lines: shown.Said, uplinks: tuple[shown.Uplink, ...] = (), ledger: Any = None) -> AsyncIterator[Page]:
    """A page of a gateway with a broker inside."""
    async with (
        Broker(["mqtt://127.0.0.1:0"]) as broker,
        page_of(shown.gateway(*lines, uplinks=uplinks, broker=broker, ledger=ledger)) as page,
    ):
        yield page


def letter(number: int, **more: Any) -> dict[str, Any]:
    found = {"id": number, "topic": "sensors/flow", "payload": b"12", "qos": 2, "at_ms": NOW_MS, "cause": "0x87"}
    return found | more


async def test_a_line_is_shown_with_its_device_and_what_it_has_carried(tab: Tab) -> None:
    line = shown.line(PORT, "greenhouse-7", up_bytes=1000, rtt_ms=21)
    gone = shown.line("/dev/ttyUSB7", looks_like="no port", advice="is the adapter plugged in?")
    async with page_of(shown.gateway(line, gone)) as page:
        page._collector.sample(time.time() - 10)
        line.state["up_bytes"] = 3000
        page._collector.sample(time.time())
        await tab.go(page.url)
        first, second = "table.lines tbody:nth-of-type(1)", "table.lines tbody:nth-of-type(2)"
        assert await tab.text(f"{first} .name") == "greenhouse-7"
        assert await tab.text(f"{first} .path") == PORT
        assert await tab.text(f"{first} [data-label='Round trip']") == "21 ms"
        assert await tab.text(f"{first} .sign .sr") == "connected"
        assert "adapter plugged in" in await tab.text(f"{second} .advice")
        assert await tab.text("#state-of-all") == "1 problem"
        await tab.until(f"/M/.test(document.querySelector('{first} .spark path.wire').getAttribute('d'))")
        await tab.click(f"{first} .more")
        await tab.until("document.querySelectorAll('.plot path.wire').length >= 5")
        goodput = "document.querySelector('.plot').getAttribute('aria-label')"
        words = await tab.until(f"{goodput}?.includes('now') && {goodput}")
        assert re.search(r"from device: (1[89]\d|20\d) B/s now", words)


async def test_a_dead_letter_is_tried_again_or_dropped_when_that_is_said_twice(tab: Tab) -> None:
    cloud = shown.Uplink("cloud", [letter(5), letter(9, payload=bytes((0, 255)))])
    async with bridge(uplinks=(cloud,)) as page:
        await tab.go(f"{page.url}/#messages")
        assert "00 ff" in await tab.text("tr:nth-child(2) [data-label=Message]")
        await tab.click("tr:nth-child(1) .actions button:first-child")
        await tab.until("document.querySelectorAll('.actions').length === 1")
        assert cloud.done == [("retry", 5)]
        await tab.click(".actions .danger")
        assert await tab.text(".actions .danger") == "Really drop" and cloud.done == [("retry", 5)]
        await tab.click(".actions .danger")
        await tab.until("document.body.innerText.includes('No message is set aside')")
        assert cloud.done == [("retry", 5), ("drop", 9)]


async def test_all_dead_letters_of_an_upstream_are_tried_again_together(tab: Tab) -> None:
    cloud = shown.Uplink("cloud", [letter(number) for number in range(120)])
    async with bridge(uplinks=(cloud,)) as page:
        await tab.go(f"{page.url}/#messages")
        await tab.click("p.act button:first-child")
        await tab.until("document.querySelector('p.act button').innerText === 'Really try all of cloud again?'")
        await tab.click("p.act button:first-child")
        await tab.until("document.body.innerText.includes('No message is set aside')")
        assert cloud.done == [("retry", number) for number in range(120)]


async def test_dead_messages_of_a_queue_are_shown_and_dropped(tab: Tab) -> None:
    limits = Limits(named=(NamedRule("jobs", filter="jobs/#", tries=1),))
    async with (
        Broker(["mqtt://127.0.0.1:0"], limits) as broker,
        page_of(shown.gateway(broker=broker)) as page,
        Client(broker.addresses[0]) as client,
    ):
        await client.publish("jobs/1", "x", qos=1)
        await client.drain(20)
        queue = broker.engine.depot.queues[b"jobs"]
        port = int(broker.addresses[0].rpartition(":")[2])
        for _ in range(2):  # a worker that dies with it; goodbyes do not count
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"\x10\x0d\0\4MQTT\4\2\0\0\0\1w" + b"\x82\x10\0\1\0\x0b$queue/jobs\1")
            assert await reader.readexactly(4 + 5)  # CONNACK, SUBACK
            await leave(writer)
        async with asyncio.timeout(20):
            while not queue.dead:  # noqa: ASYNC110 # it has no event for it
                await asyncio.sleep(0.05)
        await tab.go(f"{page.url}/#messages")
        assert "Queue jobs: 1 dead message," in await tab.text(".dead")
        await tab.click(".dead .danger")
        await tab.click(".dead .danger")
        await tab.until("!document.querySelector('.dead')")
        assert not queue.dead


async def test_a_queue_is_shown_with_its_age_its_drain_and_why_it_does_not(tab: Tab) -> None:
    cloud = shown.Uplink(
        "cloud", queued=18_000, queued_bytes=2_000_000, oldest_s=7200.0, drained_a_second=200.0,
        in_doubt={"sent": 18, "released": 2},
    )  # fmt: skip
    sink = shown.Uplink("history", kind="postgres", connected=False, problem="nothing listens there")
    async with bridge(uplinks=(cloud, sink)) as page:
        await tab.go(f"{page.url}/#upstream")
        figures = await tab.text("[aria-label='Upstream cloud'] .figures")
        assert figures.split("\n") == [
            "queued", "18,000", "2 MB", "oldest", "2 h", "drains at", "200/s", "empty in 90 s", "in doubt", "20",
            "18 sent, 2 released",
        ]  # fmt: skip
        assert "nothing listens there" in await tab.text("[aria-label='Upstream history'] .state")
        await tab.ask("location.hash = 'messages'")
        doubt = await tab.until("[...document.querySelectorAll('tr.main')].map(row => row.innerText).join('\\n')")
        assert "gateway → cloud\treleased" in doubt.replace("\n", "")


async def test_topics_are_watched_and_what_is_no_text_is_shown_as_bytes(tab: Tab) -> None:
    async with bridge() as page:
        broker = page._gateway.broker
        assert broker
        await tab.go(f"{page.url}/#topics")
        await tab.until("document.querySelector('#link').classList.contains('here')")
        await tab.fill("#filter", "sensors/#")
        await tab.click("form .primary")
        await tab.until("document.body.innerText.includes('Watching sensors/#')")
        async with Client(broker.addresses[0]) as client:
            for topic, payload in (
                ("sensors/heat", b'{"celsius": 21}'),
                ("other/x", b"no"),
                ("sensors/raw", b"\0\xff"),
            ):
                await client.publish(topic, payload, qos=1)
            await client.drain(20)
        await tab.until("document.querySelectorAll('.tail li').length === 2")
        assert await tab.text(".tail li:nth-child(1) .payload") == "00 ff"
        assert await tab.text(".tail li:nth-child(2) .topic") == "sensors/heat"
        await tab.click(".tail li:nth-child(2) summary")
        assert await tab.text(".tail pre") == '{\n  "celsius": 21\n}'


async def test_more_messages_than_a_page_takes_are_left_out_and_counted(tab: Tab) -> None:
    async with bridge() as page:
        broker = page._gateway.broker
        assert broker
        await tab.go(f"{page.url}/#topics")
        await tab.until("document.querySelector('#link').classList.contains('here')")
        await tab.click("form .primary")
        await tab.until("document.body.innerText.includes('Watching #')")
        async with Client(broker.addresses[0]) as client:
            for number in range(1000):
                await client.publish("flood", str(number), qos=1)
            await client.drain(20)
        words = await tab.until(
            "[.../Watching #: ([\\d,]+) messages; ([\\d,]+) left out/.exec(document.body.innerText)].slice(1)"
            ".map(each => +each.replace(',', '')).reduce((a, b) => a + b) === 1000 && document.body.innerText"
        )
        assert "left out" in words
        assert await tab.text(".tail li:first-child .payload") == "999"


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_a_test_message_is_published_and_its_acknowledgement_told(tab: Tab, qos: int) -> None:
    async with bridge() as page:
        broker = page._gateway.broker
        assert broker
        async with Client(broker.addresses[0], client_id="watcher") as client:
            await client.subscribe("trial", qos=2)
            await tab.go(f"{page.url}/#topics")
            await tab.until("document.querySelector('#link').classList.contains('here')")
            await tab.fill("input[name=topic]", "trial")
            await tab.fill("textarea", "00 ff")
            await tab.ask(f"document.querySelector('select').value = {qos}")
            await tab.click("input[name=hex]")
            await tab.click("section.act .primary")
            async with asyncio.timeout(20):
                message = await client.__anext__()
            assert (message.topic, message.payload, message.qos) == ("trial", b"\0\xff", qos)
            said = await tab.until("document.querySelector('section.act .good')?.innerText")
            assert {0: "QoS 0", 1: "(PUBACK)", 2: "PUBREC, PUBREL, PUBCOMP"}[qos] in said


async def test_the_way_of_a_message_is_drawn(tab: Tab) -> None:
    async with bridge(ledger=shown.Ledger(WAY)) as page:
        await tab.go(f"{page.url}/#messages")
        await tab.click("[data-label=Key] ~ td, tr.main th.topic a")
        await tab.click("th.topic a")
        await tab.until("document.querySelector('svg.chart')")
        words = await tab.ask("[...document.querySelectorAll('svg.chart text')].map(each => each.textContent)")
        assert {"greenhouse-7", "gateway", "cloud", "accepted: PUBLISH", "stored"} <= set(words)
        assert await tab.ask("document.querySelectorAll('svg.chart .arrow').length") == 2
        assert await tab.ask("location.hash") == "#messages/greenhouse-7%2F3%2F1042"


async def test_nothing_that_a_device_or_a_publisher_says_becomes_markup(tab: Tab) -> None:
    line = shown.line(PORT, EVIL, broker_problem=EVIL, broker=False)
    cloud = shown.Uplink(
        "cloud", [letter(1, topic=EVIL, payload=EVIL.encode(), cause=EVIL)], problem=EVIL, connected=False
    )
    evil = {**WAY, "key": EVIL, "topic": EVIL, "lanes": [EVIL, "gateway", "cloud"]}
    async with bridge(line, uplinks=(cloud,), ledger=shown.Ledger(evil)) as page:
        broker = page._gateway.broker
        assert broker
        async with Client(broker.addresses[0], client_id=EVIL) as client:
            await tab.go(f"{page.url}/#devices")
            await tab.until(
                "[...document.querySelectorAll('.name')].filter(each => each.innerText.includes('<img')).length === 2"
            )
            await tab.ask("location.hash = 'upstream'")
            await tab.until("document.querySelector('.card .state').innerText.includes('<script>')")
            await tab.ask("location.hash = 'messages'")
            await tab.until("document.querySelector('[data-label=Message]').innerText.includes('<script>')")
            await tab.click("tr.main th.topic a")
            await tab.until("document.querySelector('svg.chart')")
            await tab.ask("location.hash = 'topics'")
            await tab.click("form .primary")
            await tab.until("document.body.innerText.includes('Watching #')")
            await client.publish(EVIL.replace("#", ""), EVIL, qos=1)
            await tab.until("document.querySelector('.tail .topic')?.innerText.includes('<img')")
            await tab.click(".tail summary")
            assert EVIL in await tab.text(".tail pre")
            await tab.ask("location.hash = 'health'")
            await tab.until("document.querySelector('.problems').innerText.includes('<img')")
            assert await tab.ask("document.querySelectorAll('main img, main script').length") == 0


async def test_a_script_cannot_make_markup_of_text_nor_load_anything_from_elsewhere(tab: Tab) -> None:
    async with page_of(shown.gateway()) as page:
        await tab.go(page.url)
        tried = """(() => {
            try { document.body.innerHTML = '<b>x</b>'; return 'made'; } catch (error) { return error.name; }
        })()"""
        assert await tab.ask(tried) == "TypeError"
        inline = """(() => {
            const script = document.createElement('script');
            try { script.textContent = 'window.hacked = 1'; document.body.append(script); } catch { }
            return window.hacked ?? 'not run';
        })()"""
        assert await tab.ask(inline) == "not run"
        fetched = "fetch('http://localhost:1/').then(() => 'fetched', error => error.name)"
        assert await tab.ask(fetched) == "TypeError"
        assert tab.errors and all("Content Security Policy" in error or "Trusted" in error for error in tab.errors)
        tab.errors.clear()


async def test_all_of_it_fits_on_a_telephone(tab: Tab) -> None:
    await tab.size(360, 740, is_phone=True)
    cloud = shown.Uplink("cloud", [letter(5, payload=b"x" * 900, topic="a/" * 60)], queued=10**7, queued_bytes=10**9)
    line = shown.line(PORT + "x" * 80, "a-device-with-a-long-name" * 3)
    async with bridge(line, uplinks=(cloud,), ledger=shown.Ledger(WAY)) as page:
        await tab.go(page.url)
        for view in ("devices", "upstream", "messages", "topics", "boards", "health"):
            await tab.ask(f"location.hash = '{view}'")
            await tab.until(f"document.querySelector('nav [aria-current]').hash === '#{view}'")
            await tab.until("!document.body.innerText.includes('Loading')")
            assert await tab.ask("document.documentElement.scrollWidth") == 360, view
        await tab.ask("location.hash = 'devices'")
        await tab.click(".more")
        await tab.until("document.querySelector('.plot')")
        assert await tab.ask("document.documentElement.scrollWidth") == 360


async def test_dark_and_light_are_the_systems_until_somebody_chooses(tab: Tab) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    async with page_of(shown.gateway()) as page:
        await tab.go(page.url)
        light = await tab.ask(ground)
        await tab.dark()
        dark = await tab.until(f"{ground} !== '{light}' && {ground}")
        await tab.click("#theme")  # light, always
        assert await tab.ask(ground) == light
        await tab.dark(False)
        await tab.click("#theme")
        assert await tab.ask(ground) == dark
        await tab.go(page.url)
        assert await tab.ask(ground) == dark and "dark" in await tab.ask("document.querySelector('#theme').ariaLabel")


async def test_everything_can_be_reached_by_keyboard(tab: Tab) -> None:
    async with page_of(shown.gateway(shown.line(PORT, "pump"))) as page:
        await tab.go(page.url)
        await tab.until("document.querySelector('.more')")
        await tab.press("Tab", 9)
        assert await tab.ask("document.activeElement.id") == "skip"
        await tab.press("Enter", 13, "\r")
        assert await tab.ask("document.activeElement.id") == "main"
        await tab.press("Tab", 9)
        assert await tab.ask("document.activeElement.className") == "more"
        await tab.press("Enter", 13, "\r")
        await tab.until("document.activeElement.getAttribute('aria-expanded') === 'true'")
        for _ in range(3):  # the two spans, then the first plot
            await tab.press("Tab", 9)
        await tab.until("document.activeElement.classList.contains('plot')")
        await tab.until("document.activeElement.getAttribute('aria-label')")
        await tab.press("ArrowLeft", 37)
        assert await tab.ask("document.querySelectorAll('.plot .mark').length") == 1
        await tab.ask("location.hash = 'topics'")
        await tab.until("document.querySelector('#filter')")
        await tab.ask("document.activeElement.blur()")
        await tab.press("/", 191, "/")
        assert await tab.ask("document.activeElement.id") == "filter"
        unnamed = """[...document.querySelectorAll('input, select, textarea, button, a, svg[role=img]')].filter(each =>
            !(each.getAttribute('aria-label') || each.labels?.length || each.textContent.trim())).length"""
        assert await tab.ask(unnamed) == 0


async def test_a_page_that_has_lost_its_gateway_says_so_and_goes_on_when_it_is_back(tab: Tab) -> None:
    gateway = shown.gateway(shown.line(PORT, "pump"))
    async with page_of(gateway) as page:
        port = page.url.rpartition(":")[2]
        await tab.go(page.url)
        await tab.until("document.querySelector('#link').innerText === 'live'")
    await tab.until("document.querySelector('#link').innerText.includes('lost')")
    assert await tab.text(".name") == "pump"
    gateway.lines = [shown.line(PORT, "pump"), shown.line("/dev/ttyUSB1", "valve")]
    async with Page(gateway, PageSettings(listen=f"http://127.0.0.1:{port}")):
        await tab.until("document.querySelectorAll('.name').length === 2")
        assert await tab.text("#link") == "live"
    tab.errors.clear()
