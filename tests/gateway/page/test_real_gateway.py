"""The page of a real gateway: a device on a noisy line, a bridge to Mosquitto, an upstream that goes away."""

import asyncio
import contextlib
import os
import pty
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mqttlite.boards.images import littlefs_image
from mqttlite.cli import main
from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.client import Client
from mqttlite_board import settings
from tests.boards import images
from tests.boards.rom_loader import RomLoader
from tests.gateway.world import BAUD, COMMAND, OPTIONS, Program, watching
from tests.peers import Mosquitto, free_port, run
from tests.runtimes import ROOT

from .browser import Tab

PAGE = re.compile(r"page on (http://\S+)")


@contextlib.asynccontextmanager
async def gateway(
    folder: Path, *ports: str, upstream: str = "", more: str = ""
) -> AsyncIterator[tuple[Program, str, str]]:
    """A gateway in bridge mode with a page; the program, where the page is, and the broker inside."""
    inside = f"mqtt://127.0.0.1:{free_port()}"
    bridge = (
        f'[[upstream]]\nname = "cloud"\nurl = "{upstream}"\nstart_jitter_s = 0\nreconnect_max_s = 1\n'
        'out = [{filter = "sensors/#"}]\n'
    )
    file = folder / "gateway.toml"
    file.write_text(
        f'mode = "bridge"\nlisten = ["{inside}"]\nstore = "{folder}/gateway.db"\nconsole = ""\n'
        f'[page]\nlisten = "http://127.0.0.1:0"\nboards = "{folder}/boards"\n'
        f'[ledger]\npath = "{folder}/ledger.db"\n[control]\nsocket = false\n'
        + more
        + (bridge if upstream else "")
        + "".join(f'[[serial]]\npath = "{port}"\nbaud = {BAUD}\nwindow = 16\n' for port in ports)
    )
    file.chmod(0o600)
    async with Program(*COMMAND, "gateway", "--config", str(file)) as program:
        found = PAGE.search(await program.says("page on "))
        assert found
        yield program, found[1], inside


async def test_the_page_shows_what_a_real_gateway_does(tab: Tab, tmp_path: Path) -> None:
    with Mosquitto(tmp_path / "upstream") as upstream:
        async with (
            NoisyLine(BAUD, bit_errors=1e-4) as line,
            gateway(tmp_path, line.a_path, upstream=upstream.url) as (program, url, _),
            watching(upstream.url, "#") as watcher,
            Client(f"serial://{line.b_path}{OPTIONS}", client_id="greenhouse-7", keys=True, version="5.0",
                   retry_first=True) as client,
        ):  # fmt: skip
            await client.publish("sensors/heat", "21", qos=2)
            await watcher.count("sensors/heat", 1)
            await tab.go(url)
            await tab.until("document.querySelector('.lines .name')?.innerText === 'greenhouse-7'")
            await tab.until("document.querySelector('#state-of-all').innerText === 'all well'")
            await tab.until("document.querySelector('.lines [data-label=\"Round trip\"]').innerText.endsWith(' ms')")

            upstream.stop()
            await tab.ask("location.hash = 'upstream'")
            await tab.until("document.querySelector('.card .state').innerText.startsWith('not connected')")
            for number in range(5):
                await client.publish("sensors/heat", str(number), qos=2)
            await client.drain(30)
            await tab.until("document.querySelector('.card .figures').innerText.split('\\n')[1] === '5'")
            upstream.start()
            await tab.until("document.querySelector('.card .state').innerText.startsWith('connected')")
            await watcher.count("sensors/heat", 6)
            await tab.until("document.querySelector('.card .figures').innerText.split('\\n')[1] === '0'")

            await tab.ask("location.hash = 'messages'")
            await tab.click("th.topic a")
            await tab.until("document.querySelectorAll('svg.chart .arrow').length >= 1")
            words = await tab.ask(
                "[...document.querySelectorAll('svg.chart text')].map(each => each.textContent).join()"
            )
            assert "accepted" in words and "cloud" in words
            assert await program.stop() == 0
    tab.errors.clear()  # the stream that has ended


async def test_a_gateway_in_forward_mode_shows_the_topics_of_the_broker_upstream(tab: Tab, tmp_path: Path) -> None:
    with Mosquitto(tmp_path, persistence=False) as broker:
        async with (
            NoisyLine(BAUD) as line,
            Program(*COMMAND, "gateway", "--serial", line.a_path + OPTIONS, "--upstream", broker.url,
                    "--page", "http://127.0.0.1:0") as program,
            Client(f"serial://{line.b_path}{OPTIONS}", client_id="pump", retry_first=True) as client,
        ):  # fmt: skip
            found = PAGE.search(await program.says("page on "))
            assert found
            await tab.go(f"{found[1]}/#topics")
            await tab.until("document.querySelector('#link').classList.contains('here')")
            await tab.fill("#filter", "t/#")
            await tab.click("form .primary")
            await tab.until("document.body.innerText.includes('Watching t/#')")
            await client.publish("t/1", "one", qos=1)
            await tab.until("document.querySelector('.tail .payload')?.innerText === 'one'")
            await client.subscribe("trial", qos=1)
            await tab.fill("input[name=topic]", "trial")
            await tab.fill("textarea", "hello")
            await tab.click("section.act .primary")
            async with asyncio.timeout(30):
                assert (await anext(client)).payload == b"hello"
            await tab.until("document.querySelector('section.act .good')")
    tab.errors.clear()


async def test_a_device_is_added_with_a_qr_code_and_its_password_lets_it_in(tab: Tab, tmp_path: Path) -> None:
    await run(*COMMAND, "passwd", "-b", str(tmp_path / "users"), "ann", "sesame")
    access = f'[access]\npassword_file = "{tmp_path}/users"\n[groups]\nadmin = ["ann"]\n'
    access += '[devices]\nurl = "mqtt://192.0.2.7"\n'
    async with gateway(tmp_path, more=access) as (_, url, inside):
        await tab.go(f"{url}/#boards")
        await tab.fill("#name", "ann")
        await tab.fill("#password", "sesame")
        await tab.press("Enter", 13, "\r")
        await tab.until("document.querySelector('#user')?.innerText === 'ann'")
        await tab.ask("location.hash = 'boards'")
        await tab.until("document.querySelector('form input[name=name]')")
        await tab.fill("form input[name=name]", "ann")
        await tab.click("form .primary")
        assert "there is a user 'ann'" in await tab.until("document.querySelector('form [role=alert]').innerText")
        await tab.fill("form input[name=name]", "greenhouse-7")
        await tab.click("form .primary")
        settings = await tab.text(".added pre")
        assert 'name = "greenhouse-7"' in settings
        assert await tab.ask("document.querySelectorAll('.qr path').length") == 1
        password = re.search(r'^password = "(.*)"', settings, re.M)
        assert password
        async with Client(inside, client_id="greenhouse-7", username="greenhouse-7", password=password[1]) as client:
            await tab.until("document.querySelector('.name')?.innerText === 'greenhouse-7'")
            assert client.is_connected
        await tab.click(".actions .danger")
        await tab.click(".actions .danger")
        await tab.until("document.body.innerText.includes('No device yet')")


async def test_flashing_borrows_the_port_and_says_what_is_wrong(tab: Tab, tmp_path: Path) -> None:
    boards = tmp_path / "boards"
    boards.mkdir()
    (boards / "ESP32_GENERIC-20250415-v1.25.0.bin").write_bytes(b"no image")
    (boards / "my-sensor").mkdir()
    (boards / "my-sensor" / "app.py").write_text("def application(options):\n    return None\n")
    master, slave = pty.openpty()
    try:
        async with gateway(tmp_path, os.ttyname(slave)) as (program, url, _):
            await program.says("open at")
            await tab.go(f"{url}/#boards")
            await tab.fill("input[name=board]", "pump-7")
            await tab.until("document.querySelector('select[name=port]').value.startsWith('/dev/pts/')")
            await tab.ask("document.querySelector('input[name=board]').form.requestSubmit()")
            await program.says("the port is lent")
            await tab.until("document.querySelector('.job .error')")
            assert "ESP32_GENERIC" in await tab.text(".job .error")
            await tab.until("document.querySelector('.job header').innerText.includes('failed')")
            await program.says("the port is back")
            await program.says("open at", 2)
            await tab.fill("input[name=devices]", "pump-8")
            await tab.ask("document.querySelector('input[name=devices]').form.requestSubmit()")
            await tab.until("document.querySelector('.job h3').innerText === 'update pump-8 with my-sensor'")
            last = "document.querySelector('.job:first-child .said-lines li:last-child')?.innerText"
            assert "pump-8" in await tab.until(last)  # which nobody has set up
            outside: Any = await tab.ask(
                """fetch('/api/me').then(answer => answer.json()).then(me => fetch('/api/flash', {method: 'POST',
                headers: {'Content-Type': 'application/json', 'X-CSRF-Token': me.csrf}, body: JSON.stringify(
                {port: '/dev/ttyS0', name: 'x', image: '../gateway.toml'})})).then(answer => answer.json())"""
            )
            assert "there is no '../gateway.toml'" in outside["error"]
    finally:
        os.close(master)
        os.close(slave)
    tab.errors.clear()


async def test_a_board_that_is_plugged_in_is_flashed_and_its_settings_are_on_it(
    tab: Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESPTOOL_CFGFILE", str(ROOT / "tests/boards/esptool.cfg"))
    boards = tmp_path / "boards"
    boards.mkdir()
    (boards / "ESP32_GENERIC-20250415-v1.25.0.bin").write_bytes(images.image(size=20000))
    more = f'[provision]\nname = "{{name}}"\nurl = "serial:usb"\ndevices = "{tmp_path}/devices.toml"\n'
    with RomLoader() as board:
        async with gateway(tmp_path, board.path, more=more) as (program, url, _):
            await program.says("open at")
            await tab.go(f"{url}/#boards")
            await tab.fill("input[name=board]", "pump-7")
            await tab.until(f"document.querySelector('select[name=port]').value === '{board.path}'")
            await tab.ask("document.querySelector('input[name=board]').form.requestSubmit()")
            state = "document.querySelector('.job header > span')?.innerText"
            found = await tab.until(f"/^(done|failed)/.exec({state})?.[0]", 120)  # bundles may have to be built first
            assert found == "done", await tab.text(".job")
            assert await tab.ask("document.querySelectorAll('.job .step').length") > 3
            assert await asyncio.to_thread(board.started.wait, 5)
            files = littlefs_image.read(bytes(board.flash[0x200000:0x400000]))
            values = settings.decode(files["settings.json"])
            assert (values["name"], values["url"]) == ("pump-7", "serial:usb")
            assert values["key"] not in await tab.text("main")
            await program.says("the port is back")
    tab.errors.clear()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('listen = "ftp://x"', r"line 5: \[page\]: listen: 'ftp://x' is no address to listen on"),
        ('names = "pi"', r"line 5: \[page\]: names has to be a list"),
        ('name = ["pi"]', r"line 5: \[page\]: there is no key 'name'; did you mean names\?"),
        ('names = ["http://pi"]', r"names: 'http://pi' is no host name"),
        ('listen = "http://0.0.0.0:0"', r"there are no users who could log in"),
        ('listen = "https://127.0.0.1:0"', r"https:// needs a certificate"),
        ('listen = "http://127.0.0.1:0"\nnames = ["pi.example.net"]', r"is in order"),
    ],
)
def test_a_mistake_in_the_table_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str, words: str
) -> None:
    file = tmp_path / "gateway.toml"
    listen = f'listen = ["mqtt://127.0.0.1:{free_port()}"]'
    file.write_text(f'mode = "bridge"\n{listen}\nstore = "memory"\n[page]\n{table}\n')
    assert main(["gateway", "--config", str(file), "--test-config"]) == int("in order" not in words)
    assert re.search(words, "".join(capsys.readouterr()))
