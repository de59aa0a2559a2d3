"""Log lines have a rate: what is sent over a line, real or forged, does not fill a disk."""

import asyncio
import logging

import pytest

from mqttlite.cli.demo.pty_line import NoisyLine
from mqttlite.cli.serving.log_forms import formatter
from mqttlite.link.frames import DATA, LOG, SYN, encode, pack_syn
from mqttlite.serial.ports import open_port
from mqttlite_gateway.lines.saying import BURST, EVERY_S, Saying, without
from tests.gateway.world import beside, gateway
from tests.peers import Mosquitto


class Clock:
    """A loop's, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        loop = asyncio.get_running_loop()
        self.timers: list[tuple[float, object, tuple[object, ...]]] = []
        monkeypatch.setattr(loop, "time", lambda: self.now)
        monkeypatch.setattr(loop, "call_later", self._later)

    def _later(self, seconds: float, call: object, *args: object) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(self.now + seconds, call, args, asyncio.get_running_loop())  # type: ignore[arg-type]
        self.timers.append((self.now + seconds, handle, ()))
        return handle

    def move(self, seconds: float) -> None:
        self.now += seconds
        due, self.timers = [t for t in self.timers if t[0] <= self.now], [t for t in self.timers if t[0] > self.now]
        for _, handle, _ in due:
            handle._run()  # type: ignore[attr-defined]


@pytest.fixture
def logger(caplog: pytest.LogCaptureFixture) -> logging.Logger:
    caplog.set_level(logging.INFO, "mqttlite.test")
    return logging.getLogger("mqttlite.test")


async def test_a_line_of_a_log_with_fields_says_which_port_it_is_about(
    caplog: pytest.LogCaptureFixture, logger: logging.Logger
) -> None:
    Saying(logger, "/dev/ttyUSB0").info("device %s is there", "greenhouse")
    [record] = caplog.records
    assert (
        formatter("keys")
        .format(record)
        .endswith('event=line port=/dev/ttyUSB0 msg="/dev/ttyUSB0: device greenhouse is there"')
    )


async def test_a_flood_of_one_kind_is_ten_lines_and_then_one_in_ten_seconds_with_a_number(
    caplog: pytest.LogCaptureFixture, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    say = Saying(logger, "/dev/x")
    for number in range(100_000):
        say.info("device '%s' is there", number)
        clock.move(0.001)
    say.warning("another kind")
    lines = [record.getMessage() for record in caplog.records]
    assert lines[:BURST] == [f"/dev/x: device '{number}' is there" for number in range(BURST)]
    assert len(lines) <= BURST + 100 / EVERY_S + 2
    assert "more of these were left out" in lines[BURST]
    assert lines[-1] == "/dev/x: another kind"
    clock.move(EVERY_S)
    lines = [record.getMessage() for record in caplog.records]
    told = sum(int(line.split("; ")[1].split()[0]) for line in lines if "left out" in line)
    assert told + len(lines) - 1 == 100_000
    assert say.left_out == 100_000 - BURST


async def test_what_was_left_out_is_said_at_the_end(
    caplog: pytest.LogCaptureFixture, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch)
    say = Saying(logger, "/dev/x")
    for _ in range(BURST + 3):
        say.info("again")
    say.close()
    assert caplog.records[-1].getMessage() == "/dev/x: again; 2 more of these were left out"
    say.debug("nobody listens")
    assert len(caplog.records) == BURST + 1


def forged(number: int) -> bytes:
    """A SYN and SYN_ACKs of a device that never was, and a line of its log."""
    syn = pack_syn(number, 0, 128, 1024, 0, b"device-%d" % (number % 97))
    log = encode(DATA | LOG, 0, 0, 0, 0, -1, b"2026 forged\x1b[2J", True)
    return bytes(encode(SYN, 0, 0, 0, 0, -1, syn, True)) + bytes(log) + b"boot\x1b[2J messages\r\n\0"


async def test_forged_frames_write_a_few_lines_whatever_their_number(mosquitto: Mosquitto) -> None:
    """A device that restarts without end, thousands of times a second: it answers each SYN under another epoch."""
    async with NoisyLine(4_000_000) as line:
        serial = ["--serial", f"{line.a_path}?baud=4000000", "-v"]
        async with gateway(mosquitto.url, options=serial) as box:
            await box.says("open at")
            port = open_port(line.b_path)

            async def drain() -> None:
                """Learn the gateway's epoch from its SYN, and answer with it as known."""
                buffer = b""
                number = 1
                while True:
                    buffer = (buffer + await port.read())[-500:]
                    epoch = epoch_in(buffer)
                    for _ in range(50):
                        number += 1
                        syn = pack_syn(number, epoch, 128, 1024, 0, b"evil\n%d" % number)
                        await port.write(bytes(encode(SYN, 0, 0, 0, 0, -1, syn, True)) + forged(number))

            async with beside(drain()):
                await box.says("is there", BURST)
                await asyncio.sleep(2)  # of a flood; whatever got through in it
            port.close()
            assert await box.stop() == 0
        assert sum(map(len, box.lines)) < 60_000
        assert not [text for text in box.lines if "\x1b" in text]
        assert [text for text in box.lines if "more of these were left out" in text]


def epoch_in(buffer: bytes) -> int:
    """The gateway's epoch in the latest of its frames that is a SYN."""
    from mqttlite.link.frames import Greeting, decode

    epoch = 0
    for chunk in buffer.split(b"\0"):
        copy = bytearray(chunk)
        start = decode(copy, len(chunk)) if len(chunk) > 1 else 0
        if start and copy[1] & 0xF0 >= SYN:
            peer = Greeting(memoryview(copy)[start : len(chunk) - 4])
            if peer.valid and not peer.device_id:
                epoch = peer.epoch
    return epoch


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/dev/ttyUSB0 does not exist; there is /dev/ttyUSB1", "does not exist; there is /dev/ttyUSB1"),
        ("/dev/ttyUSB0: permission denied", "permission denied"),
        ("/dev/ttyUSB01 is busy", "/dev/ttyUSB01 is busy"),
        ("gone", "gone"),
    ],
)
def test_a_port_is_named_once_in_a_line_of_the_log(text: str, left: str) -> None:
    assert without("/dev/ttyUSB0", OSError(text)) == left
