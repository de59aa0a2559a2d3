"""Pictures of the page for the documentation: `make pictures` writes them, and a test looks whether each can be made.

They are of a made-up site (site.py); what is drawn is the page as it is.
"""

import asyncio
import os
import random
import socket
import time
from pathlib import Path

import pytest

from mqttlite.broker import Broker
from mqttlite.client import Client
from mqttlite_gateway.page.collect import _counters
from mqttlite_gateway.page.server import Page
from mqttlite_gateway.settings.page import PageSettings
from tests.runtimes import ROOT

from .browser import Tab
from .site import carry, grow, site

FOLDER = ROOT / "docs" / "pictures" / "page"
BYTES_MAX = 150_000
NAMES = ("devices", "upstream", "messages", "topics", "telephone")


async def test_every_view_can_be_pictured(tab: Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "pi")
    folder = FOLDER if os.environ.get("MQTTLITE_PICTURES") else tmp_path
    folder.mkdir(parents=True, exist_ok=True)

    async def take(name: str) -> None:
        await tab.picture(folder / f"{name}.png")

    async with (
        Broker(["mqtt://127.0.0.1:0"]) as broker,
        Page(site(broker), PageSettings(listen="http://127.0.0.1:0")) as page,
        Client(broker.addresses[0], client_id="camera-1") as camera,
        Client(broker.addresses[0], client_id="dashboard", version="5.0") as dashboard,
    ):
        gateway, collector = page._gateway, page._collector
        await dashboard.subscribe("sensors/#", qos=1)
        grow(gateway, collector, time.time())
        for number, base in enumerate((340, 90, 45)):
            state = gateway.lines[number].state
            collector._rates.of(state["port"], time.time() - 30, _counters(state))
            for _ in range(3):
                carry(state, base * 10, random.Random(number))
        await tab.go(page.url)
        await tab.until("document.querySelector('.lines .spark path').getAttribute('d')")
        await tab.click(".lines .more")
        await tab.until("document.querySelectorAll('.plot path.wire').length === 5")
        await tab.until("document.querySelector('.lines td[data-label=Line]').innerText !== 'quiet'")
        await take("devices")

        await tab.dark()
        await tab.size(1280, 640)
        await tab.ask("location.hash = 'upstream'")
        await tab.until("document.querySelectorAll('.plot path.wire').length === 4")
        await take("upstream")

        await tab.dark(False)
        await tab.size(1280, 1020)
        await tab.ask("location.hash = 'messages/greenhouse-7%2F3%2F1021'")
        await tab.until("document.querySelector('svg.chart') && document.querySelectorAll('.actions').length === 2")
        await take("messages")

        await tab.size(1280, 560)
        await tab.ask("location.hash = 'topics'")
        await tab.fill("#filter", "sensors/#")
        await tab.click("form .primary")
        await tab.until("document.body.innerText.includes('Watching sensors/#')")
        for number in range(9):
            await camera.publish("sensors/greenhouse-7/heat", f'{{"celsius": {21 + number / 10:.1f}}}', qos=1)
            if number % 4 == 1:
                await camera.publish("sensors/camera/frame", bytes((255, 216, 255, 224, 0, 16, number, 70)), qos=0)
        await tab.until("document.querySelectorAll('.tail li').length === 11")
        await take("topics")

        await tab.dark()
        await tab.size(390, 844, is_phone=True)
        await tab.ask("location.hash = 'devices'")
        await tab.until("document.querySelector('.lines .spark path').getAttribute('d')")
        await asyncio.sleep(0)
        await take("telephone")
    tab.errors.clear()
    sizes = {name: (folder / f"{name}.png").stat().st_size for name in NAMES}
    assert all(10_000 < size < BYTES_MAX for size in sizes.values()), sizes


def test_the_documentation_has_these_pictures_and_no_others() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(NAMES)
    pages = (ROOT / "docs" / "page.md").read_text() + (ROOT / "README.md").read_text()
    assert all(f"pictures/page/{name}.png" in pages for name in NAMES)
