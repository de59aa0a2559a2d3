"""What the gateway says of its broker: absent, not a broker, one that refuses the device, one of several addresses."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.client import Client
from mqttlite_gateway.lines.forward import GOODBYE_MAX
from mqttlite_gateway.lines.upstream import ANSWER_MAX, Answer, answer, is_goodbye, last_word
from tests.client.connecting.test_addresses import SWALLOWS, swallowing
from tests.gateway.world import BAUD, OPTIONS, Program, beside, gateway
from tests.peers import Mosquitto

V5 = 5


# -- the first bytes


@pytest.mark.parametrize(
    ("begin", "found"),
    [
        (b"", None),
        (b"\x20", None),
        (b"\x20\x02\0", None),
        (b"\x20\x02\0\0", Answer("")),
        (b"\x20\x02\x01\0", Answer("")),
        (b"\x20\x02\0\x04", Answer("bad user name or password (CONNACK with return code 4)")),
        (b"\x20\x02\0\x63", Answer("reserved return code 99 (CONNACK with return code 99)")),
        (b"\x20\x03\0\0\0", Answer("", version=V5)),
        (b"\x20\x09\0\0\x06", Answer("", version=V5)),
        (b"\x20\x03\0\x86", None),
        (b"\x20\x03\0\x86\0", Answer("bad user name or password (reason code 0x86) (CONNACK)", version=V5)),
        (b"\x20\x03\0\xff\0", Answer("reserved reason code (reason code 0xff) (CONNACK)", version=V5)),
        (b"\x20\xff\xff\xff\xff\xff\xff", Answer("", is_mqtt=False)),
        (b"\xf0\x02\x18\0", Answer("", version=V5)),
        (b"HT", None),
        (b"HTTP/1.1 400", Answer("", is_mqtt=False)),
        (b"\x15\x03\x01\0\x02", Answer("", is_mqtt=False)),
    ],
)
def test_the_answer_to_connect_is_read_from_its_first_bytes(begin: bytes, found: Answer | None) -> None:
    assert answer(begin) == found


def test_a_refusals_own_words_are_shown_escaped_and_bounded() -> None:
    def refusal(words: bytes) -> bytes:
        properties = b"\x1f" + len(words).to_bytes(2, "big") + words
        size = len(properties)
        head = bytes((size & 127 | 128, size >> 7)) if size > 127 else bytes((size,))
        rest = 2 + len(head) + size
        return (
            b"\x20"
            + (bytes((rest & 127 | 128, rest >> 7)) if rest > 127 else bytes((rest,)))
            + b"\0\x87"
            + head
            + properties
        )

    found = answer(refusal(b"go away\n\x1b[2J"))
    assert found
    assert found.refusal.endswith(r"(reason code 0x87) (CONNACK); the broker says: 'go away\n\x1b[2J'")
    assert answer(refusal(b"x" * 500)[:200]) is None
    assert len(answer(refusal(b"x" * 500)).refusal) < 400  # type: ignore[union-attr]
    huge = answer(refusal(b"x" * (ANSWER_MAX + 9))[:100])  # not waited for
    assert huge
    assert huge.refusal.endswith("(CONNACK)")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            b"\xe0\x02\x8e\0",
            "another connection uses the same client identifier; each client needs its own (reason code 0x8e)",
        ),
        (b"\xe0\x01\x8b", "the broker is shutting down; try again later (reason code 0x8b)"),
        (b"\xe0\0", ""),
        (b"\xe0\x02\x8e", ""),
        (b"\x30\x05\0\x01a\xe0\0", ""),
        (b"", ""),
    ],
)
def test_a_brokers_last_word_is_named(data: bytes, words: str) -> None:
    assert last_word(data) == (f"{words} (DISCONNECT)" if words else "")


@pytest.mark.parametrize(
    ("end", "is_one"),
    [
        (b"\xe0\0", True),
        (b"\x30\x05\0\x01a21\xe0\0", True),
        (b"\xe0\x02\0\0", True),
        (b"\xe0\x07\0\x05\x11\0\0\0\x3c", True),  # 5.0, with another session expiry
        (b"\x30\x04\0\x01a2", False),
        (b"\xe0", False),
        (b"", False),
    ],
)
def test_a_devices_goodbye_is_known_by_its_last_bytes(end: bytes, is_one: bool) -> None:
    assert is_goodbye(end[-GOODBYE_MAX:]) is is_one


# -- with real programs


@contextlib.asynccontextmanager
async def refused(upstream: str, version: int = 4) -> AsyncIterator[tuple[NoisyLine, Program, list[str]]]:
    """A device that tries to connect through the gateway, and what it says."""
    said: list[str] = []
    async with NoisyLine(BAUD) as line, gateway(upstream, line.a_path) as box:
        device = Client(f"serial://{line.b_path}{OPTIONS}", client_id="device", retry_first=True, version=version)
        device._life.log = said.append  # type: ignore[method-assign]
        try:
            async with beside(device.start()):
                yield line, box, said
        finally:
            await device.close()


@pytest.mark.parametrize(
    ("version", "code"), [(4, "(CONNACK with return code 5)"), (5, "(reason code 0x87) (CONNACK)")]
)
async def test_a_refusal_is_named_with_its_code_and_once(tmp_path: Path, version: int, code: str) -> None:
    with Mosquitto(tmp_path / "mosquitto", settings={"allow_anonymous": "false"}) as broker:
        async with refused(broker.url, version) as (_, box, said):
            assert code in await box.says("the broker refuses device 'device': not authorised")
            while len(said) < 4:  # noqa: ASYNC110 (a list has no event)
                await asyncio.sleep(0.01)
            assert "not authorised" in said[-1].lower()
            assert "refuses the gateway itself" in await box.says("answers")
            lines = [text for text in box.lines if "refuses device" in text or "ended the connection" in text]
            assert len(lines) == 1


@contextlib.asynccontextmanager
async def peer(answer: bytes, *, close: bool = True, last: bytes = b"") -> AsyncIterator[str]:
    """Somebody who answers whatever comes with `answer`, and says `last` a moment later; the URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(100)
            writer.write(answer)
            if last:
                await asyncio.sleep(0.05)
                writer.write(last)
            if not close:
                await reader.read()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"\x15\x03\x01\0\x02\x02\x46", "speaks TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "is an SSH server"),
        (b"", "closes the connection without a word"),
    ],
)
async def test_what_is_no_broker_is_named_at_the_start_and_when_a_device_asks(sent: bytes, words: str) -> None:
    async with peer(sent) as url, refused(url) as (line, box, _):
        where = url.removeprefix("mqtt://")
        assert words in await box.says(f"devices cannot be connected: {where} ")
        assert words in await box.says(f"{line.a_path}: {where} ")


async def test_a_broker_that_says_nothing_is_named_when_the_device_has_given_up() -> None:
    async with peer(b"", close=False) as url, NoisyLine(BAUD) as line, gateway(url, line.a_path) as box:
        await box.says("open at")
        device = Client(f"serial://{line.b_path}{OPTIONS}", client_id="device", timeout_s=1.2)
        with contextlib.suppress(Exception):
            await device.start()
        assert "does not answer CONNECT within 1 s" in await box.says(f"{line.a_path}: {url.removeprefix('mqtt://')} ")


async def test_a_broker_that_is_not_there_is_said_at_the_start_and_when_it_has_come(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "mosquitto")
    async with NoisyLine(BAUD) as line, gateway(broker.url, line.a_path) as box:
        said = await box.says("devices cannot be connected")
        assert f"nothing listens at 127.0.0.1:{broker.port}; is the broker running" in said
        with broker:
            await box.says(f"the broker at 127.0.0.1:{broker.port} answers")
            assert len([text for text in box.lines if "cannot be connected" in text]) == 1


async def test_a_host_that_does_not_exist_is_said_at_the_start() -> None:
    async with NoisyLine(BAUD) as line, gateway("mqtt://no-such-host.invalid", line.a_path) as box:
        await box.says("devices cannot be connected: cannot find the host 'no-such-host.invalid'")


NAMES = """
import socket, sys
from mqttlite.cli import main
real = socket.getaddrinfo
def getaddrinfo(host, *args, **options):
    if host != "broker.home":
        return real(host, *args, **options)
    return real("127.0.0.9", *args, **options) + real("127.0.0.1", *args, **options)
socket.getaddrinfo = getaddrinfo
sys.exit(main())
"""


async def test_of_two_addresses_the_one_that_answers_is_taken(mosquitto: Mosquitto) -> None:
    with swallowing(SWALLOWS, mosquitto.port):
        async with NoisyLine(BAUD) as line:
            words = ["gateway", "--upstream", f"mqtt://broker.home:{mosquitto.port}", "--serial", line.a_path + OPTIONS]
            async with Program(sys.executable, "-c", NAMES, *words) as box:
                async with Client(f"serial://{line.b_path}{OPTIONS}", client_id="device", retry_first=True) as client:
                    await (await client.publish("t/up", "1", qos=1)).completed()
                assert "connected to the broker" in await box.says("connected to the broker")
                assert not [text for text in box.lines if "cannot be reached" in text]


async def test_a_broker_of_5_0_that_throws_the_device_out_is_heard() -> None:
    async with peer(b"\x20\x03\0\0\0", last=b"\xe0\x01\x8e") as url, refused(url, 5) as (_, box, _said):
        await box.says("connected to the broker")
        assert "(reason code 0x8e) (DISCONNECT)" in await box.says(
            "the broker ended the connection: another connection"
        )


async def test_an_orderly_goodbye_of_a_device_is_not_said_to_be_the_brokers(mosquitto: Mosquitto) -> None:
    async with NoisyLine(BAUD) as line, gateway(mosquitto.url, line.a_path) as box:
        async with Client(f"serial://{line.b_path}{OPTIONS}", client_id="device", retry_first=True) as client:
            await (await client.publish("t/up", "1", qos=1)).completed()
        await box.says("has said goodbye (DISCONNECT)")
        assert not [text for text in box.lines if "the broker ended" in text]
