"""What a device calls itself: in topics, in the log, and when two call themselves the same."""

import asyncio
import itertools
import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.client import Client
from mqttlite.core.text import check_topic_name
from mqttlite.link.frames import MAX_DEVICE_ID
from mqttlite_gateway.lines.names import LINE, ONLINE, line_topic, topic_level
from tests.gateway.world import BAUD, OPTIONS, beside, gateway, watching
from tests.peers import RUN_TIMEOUT_S, Mosquitto


@pytest.mark.parametrize(
    ("name", "level"),
    [
        (b"sensor-7", "sensor-7"),
        ("Küche 2".encode(), "Küche 2"),
        (b"a/b", "a%2Fb"),
        (b"+", "%2B"),
        (b"#", "%23"),
        (b"100%", "100%25"),
        (b"online", "%6Fnline"),
        (b"line", "%6Cine"),
        (b"%6Fnline", "%256Fnline"),
        (b"a\n\x1b[2J\0", "a%0A%1B[2J%00"),
        (b"\xff\xfe", "%FF%FE"),
        ("\u202e".encode(), "%E2%80%AE"),
        (b"\xed\xa0\x80", "%ED%A0%80"),
        (b"", ""),
        (b"x" * MAX_DEVICE_ID, "x" * MAX_DEVICE_ID),
        (b"x" * (MAX_DEVICE_ID + 1), ""),
    ],
)
def test_a_name_becomes_one_topic_level(name: bytes, level: str) -> None:
    assert topic_level(name) == level


AWKWARD = st.sampled_from([b"online", b"line", b"%6Fnline", b"a/b", b"a%2Fb", b"a_b", b"\xff", b"%FF", b"\xef\xbf\xbd"])


@given(st.lists(st.binary(min_size=1, max_size=MAX_DEVICE_ID) | AWKWARD, min_size=2, max_size=20, unique=True))
def test_no_two_names_become_one_and_none_breaks_a_topic(names: list[bytes]) -> None:
    levels = [topic_level(name) for name in names]
    assert len(set(levels)) == len(names)
    for level in levels:
        check_topic_name(f"gw/{level}".encode())
        assert level not in (ONLINE, LINE)
        assert level.isprintable()
        assert not set(level) & set("/+#")


@pytest.mark.parametrize(
    ("path", "topic"),
    [
        ("/dev/ttyUSB0", "line/dev/ttyUSB0"),
        ("/dev/serial/by-id/usb-Silicon_Labs_CP2102_USB_to_UART_0001-if00-port0",) * 2,
        ("/dev/a+b", "line/dev/a%2Bb"),
    ],
)
def test_a_port_has_a_topic_of_its_own(path: str, topic: str) -> None:
    assert line_topic(path).removeprefix("line") == topic.removeprefix("line")


async def test_a_name_that_would_forge_lines_or_shadow_a_topic_is_shown_escaped_and_renamed(
    mosquitto: Mosquitto,
) -> None:
    options = ["--status-topic", "gw", "--status-every", "0.1"]
    levels = {
        "online": "%6Fnline",
        "a\x1b[31m\x85b": "a%1B[31m%C2%85b",
        "line": "%6Cine",
        string.ascii_letters: string.ascii_letters[:MAX_DEVICE_ID],  # the link has no room for more
    }
    async with (
        NoisyLine(BAUD) as line,
        watching(mosquitto.url, "gw/#") as watcher,
        gateway(mosquitto.url, line.a_path, options=options) as box,
    ):
        for name, level in levels.items():
            client = Client(f"serial://{line.b_path}{OPTIONS}", client_id=name, retry_first=True)
            async with beside(client.start()):  # what the broker says of the name is another matter
                await watcher.count(f"gw/{level}", 1)
            await client.close()
        await watcher.until("gw/online", b"1")
        assert r"device 'a\x1b[31m\x85b' is there" in await box.says("is there", 2)
        await box.says("device 'online' cannot be a topic level; its state is published as '%6Fnline'")
        assert not [text for text in box.lines if "\x1b" in text or "\x85" in text]


async def test_two_devices_with_one_name_are_named_with_their_ports_and_keep_apart(mosquitto: Mosquitto) -> None:
    options = ["--status-topic", "gw", "--status-every", "0.1"]
    async with (
        NoisyLine(BAUD) as one,
        NoisyLine(BAUD) as two,
        watching(mosquitto.url, "gw/#") as watcher,
        gateway(mosquitto.url, one.a_path, two.a_path, options=options) as box,
    ):
        first = Client(f"serial://{one.b_path}{OPTIONS}", client_id="twin", retry_first=True)
        await first.start()
        async with Client(f"serial://{two.b_path}{OPTIONS}", client_id="twin", retry_first=True):
            said = await box.says(f"device 'twin' is at {one.a_path}, too")
            assert f"{two.a_path}: " in said
            await watcher.count("gw/twin", 3)
            assert {json.loads(state)["port"] for state in watcher.got["gw/twin"]} == {one.a_path}
            await first.close()  # the gateway notices after 4 s
            one.unplug("a")  # or at once
            async with asyncio.timeout(RUN_TIMEOUT_S):
                for count in itertools.count(1):
                    port = json.loads((await watcher.count("gw/twin", count))[-1])["port"]
                    if port == two.a_path:
                        break
            one.replug("a")
