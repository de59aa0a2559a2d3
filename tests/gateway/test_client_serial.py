"""The client on a serial line: what it says when something is missing, and how it ends."""

import asyncio
from collections.abc import Callable

import pytest

from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.client import Client
from mqttlite.core.errors import ClosedError, ConnectError, SettingError
from mqttlite.link import Link
from mqttlite.link.frames import MQTT
from mqttlite.link.stats import Stats
from mqttlite.serial import dialer as serial_transport
from mqttlite.serial.dialer_host import HostSerialDialer
from mqttlite.serial.ports import open_port
from mqttlite.serial.silence import why_silent
from tests.gateway.world import BAUD, BIT_ERRORS, DROPPED, OPTIONS, beside, gateway, watching
from tests.peers import Mosquitto


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that does not answer is given up soon."""
    monkeypatch.setattr(serial_transport, "SILENT_S", 0.2)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, but not before what somebody else's process or task has said can have come."""
    monkeypatch.setattr(serial_transport, "SILENT_S", 1.0)


async def cause(url: str, **options: float) -> str:
    """Why a first connection fails."""
    with pytest.raises(ConnectError) as error:
        async with Client(url, client_id="device", **options):  # type: ignore[arg-type]
            pass
    return str(error.value)


async def test_a_port_that_does_not_exist_is_named() -> None:
    assert (await cause("serial:///dev/ttyUSB77")).startswith("/dev/ttyUSB77 does not exist; there is ")


async def test_a_port_in_use_names_its_user() -> None:
    async with NoisyLine(BAUD) as line:
        port = open_port(line.a_path)
        assert f"{line.a_path} is in use by" in await cause(f"serial://{line.a_path}")
        port.close()


@pytest.mark.usefixtures("impatient")
async def test_no_gateway_at_the_other_end_is_said_so() -> None:
    async with NoisyLine(BAUD) as line:
        said = await cause(f"serial://{line.a_path}?baud=9600")
        assert said == f"no gateway answers on {line.a_path} at 9600 baud; does it run, and is this its line?"
        open_port(line.a_path).close()  # which is free again


@pytest.mark.usefixtures("patient")
async def test_what_makes_no_sense_points_to_the_baud_rate() -> None:
    async with NoisyLine(BAUD) as line:
        other = open_port(line.b_path)
        await other.write(b"\0\xff\xfe\x80\xf0\0" * 20)
        said = await cause(f"serial://{line.a_path}")
        assert said.startswith(f"no gateway answers on {line.a_path} at 115200 baud: 120 bytes that are neither frames")
        assert "Is 115200 the gateway's baud rate, too" in said
        other.close()


@pytest.mark.usefixtures("patient")
async def test_a_gateway_that_does_not_hear_us_is_told_from_none() -> None:
    async with NoisyLine(BAUD) as line:
        other = open_port(line.b_path)
        line.broken = {"ab"}
        gateways = Link(5)

        async def gateway_without_rx() -> None:
            for now in range(0, 1_000_000, 50):
                await other.write(gateways.transmit(now))
                await asyncio.sleep(0.02)

        async with beside(gateway_without_rx()):
            said = await cause(f"serial://{line.a_path}")
            assert "the gateway is heard, but does not hear us: does TX here go to RX there" in said
        other.close()


@pytest.mark.usefixtures("patient")
async def test_our_own_frames_that_come_back_are_recognised() -> None:
    async with NoisyLine(BAUD) as line:
        other = open_port(line.b_path)

        async def echo() -> None:
            while True:
                await other.write(await other.read())

        async with beside(echo()):
            assert "our own frames come back" in await cause(f"serial://{line.a_path}")
        other.close()


@pytest.mark.usefixtures("patient")
async def test_a_prompt_is_recognised() -> None:
    async with NoisyLine(BAUD) as line:
        other = open_port(line.b_path)
        await other.write(b"\r\n>>> ")
        assert "it looks like a MicroPython prompt" in await cause(f"serial://{line.a_path}")
        other.close()


def test_a_board_which_has_no_room_for_more_says_as_much_as_its_counters_do() -> None:
    stats = Stats()
    assert why_silent("X", stats, 0, 0) == "no gateway answers on X; does it run, and is this its line?"
    stats.damaged = 3
    assert "do both ends have the same baud rate?" in why_silent("X", stats, 0, 0)
    assert "no gateway answers" in why_silent("X", stats, 0, 3)
    stats.received = 1
    assert "does TX go to the gateway's RX" in why_silent("X", stats, 0, 0)


async def test_a_client_that_waits_less_long_than_the_line_says_that_nobody_answered() -> None:
    async with NoisyLine(BAUD) as line:
        assert await cause(f"serial://{line.a_path}", timeout_s=0.2) == f"no answer from {line.a_path} within 0.2 s"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("baud=fast", "baud=fast is not a number"),
        ("baud=0", "baud=0: must be 300 or more"),
        ("window=99", "window must be 1..16"),
        ("frame_size=1000", "frame_size must be 32..255"),
        ("boot=x", "boot=x is not a number"),
        ("speed=9600", "unknown option 'speed' of a serial line; there are baud, frame_size, window"),
    ],
)
async def test_options_that_cannot_be_are_named_and_not_tried_again(query: str, said: str) -> None:
    with pytest.raises((SettingError, ValueError)) as error:
        async with Client(f"serial:///dev/ttyUSB0?{query}", client_id="device", retry_first=True):
            pass
    assert said in str(error.value)


async def test_a_refusal_by_the_gateway_is_noticed_when_it_comes() -> None:
    async with NoisyLine(BAUD) as line, gateway("mqtt://127.0.0.1:1", line.a_path):
        # Not within the client's time-out, which is longer than this test may take.
        assert await cause(f"serial://{line.b_path}{OPTIONS}", timeout_s=3600) == "the broker cannot be reached"


async def test_goodbye_reaches_the_broker_before_the_port_is_closed(mosquitto: Mosquitto) -> None:
    """A noisy, slow line: DISCONNECT and CLOSE need repeats. The will is not published."""
    options = "?baud=9600"
    async with NoisyLine(9600, bit_errors=BIT_ERRORS, dropped=DROPPED, seed=3) as line:
        box = gateway(mosquitto.url, options=["--serial", line.a_path + options])
        async with watching(mosquitto.url, "will") as watcher, box:
            for number in range(3):
                url = f"serial://{line.b_path}{options}"
                async with Client(url, client_id=f"device-{number}", will=("will", "dead", 1, False), retry_first=True):
                    pass
                await mosquitto.logged(f"Received DISCONNECT from device-{number}")
            async with Client(mosquitto.url) as last:
                await last.publish("will", "last", qos=1)
            await watcher.until("will", b"last")
            assert watcher.got["will"] == [b"last"]


async def test_a_closed_client_has_given_its_port_back(mosquitto: Mosquitto) -> None:
    async with NoisyLine(BAUD) as line, gateway(mosquitto.url, line.a_path):
        for _ in range(5):
            client = Client(f"serial://{line.b_path}{OPTIONS}", client_id="device")
            await client.start()
            await client.close()
            open_port(line.b_path).close()


async def test_closing_without_a_gateway_takes_no_time_and_frees_the_port() -> None:
    async with NoisyLine(BAUD) as line:
        client = Client(f"serial://{line.b_path}{OPTIONS}", client_id="device", retry_first=True)
        starting = asyncio.create_task(client.start())
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(ClosedError):
            await starting
        open_port(line.b_path).close()


async def test_closing_waits_only_so_long_for_a_line_that_has_died(mosquitto: Mosquitto) -> None:
    async with NoisyLine(BAUD) as line, gateway(mosquitto.url, line.a_path) as box:
        client = Client(f"serial://{line.b_path}{OPTIONS}", client_id="device")
        await client.start()
        await box.kill()
        await client.close()  # returns
        open_port(line.b_path).close()


async def test_an_adapter_unplugged_at_the_device_is_opened_again(mosquitto: Mosquitto) -> None:
    async with NoisyLine(BAUD) as line, gateway(mosquitto.url, line.a_path):
        gone: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()

        def on_connection(connected: bool, reason: str) -> None:
            gone.put_nowait((connected, reason))

        url = f"serial://{line.b_path}{OPTIONS}"
        async with Client(url, client_id="device", on_connection=on_connection) as client:
            assert await gone.get() == (True, "")
            line.unplug("b")
            assert await gone.get() == (False, "the serial link was lost")
            receipt = await client.publish("t/up", "meanwhile", qos=2)
            line.replug("b")
            await receipt.completed()


async def test_a_connection_that_opens_when_nobody_waits_any_more_does_not_stay(mosquitto: Mosquitto) -> None:
    """The time-out of `connect` strikes in the moment in which the gateway accepts."""
    async with NoisyLine(BAUD) as line, gateway(mosquitto.url, line.a_path):
        client = Client(f"serial://{line.b_path}{OPTIONS}", client_id="device")
        dialer = HostSerialDialer(client.url, "device", client._connector.open_port, print, lambda: None)
        connecting = asyncio.create_task(dialer.connect())
        opened: Callable[[], object] | None = None
        while opened is None:
            await asyncio.sleep(0)
            if dialer.stream.state == serial_transport._stream.OPENING:
                opened = dialer.stream.on_opened
        dialer.stream.on_opened = lambda: (opened(), connecting.cancel())
        with pytest.raises(asyncio.CancelledError):
            await connecting
        transport = await dialer.connect()
        transport.close()
        await dialer.close()


async def test_many_small_pieces_are_read_as_one_and_give_their_credit_back() -> None:
    async with NoisyLine(BAUD):
        client = Client("serial:///dev/null", client_id="device")
        dialer = HostSerialDialer(client.url, "device", client._connector.open_port, print, lambda: None)
        transport = serial_transport.SerialTransport(dialer.stream, dialer.reason)
        dialer.stream.state = serial_transport._stream.OPEN
        for piece in (b"a", b"bc", b"def"):
            dialer.link.on_data(MQTT, memoryview(piece))
        assert await transport.read() == b"abcdef"
        assert dialer.stream._held == 0
        transport._on_close(serial_transport._stream.UPSTREAM_CLOSED)
        with pytest.raises(ConnectError, match="the broker closed the connection"):
            await transport.read()
        with pytest.raises(ConnectError, match="the broker closed the connection"):
            await transport.write(b"x")
