"""What a line looks like on which no session begins: recordings of each kind, and what is said of them."""

import asyncio
import os
import pty
import tty

import pytest

from mqttlite.cli.demo.resample import resampled
from mqttlite.core.shown import amount, shown
from mqttlite.link import Link
from mqttlite.serial.diagnosis import HEAD, KINDS, TAIL, End, Finding, Heard, diagnose
from mqttlite.sim.lines.noise import Noise
from mqttlite_board.improv import PROVISIONED, READY, state
from tests.peers import RUN_TIMEOUT_S, MicroPython

GATEWAY = End(epoch=5, is_gateway=True, baud=115200)
DEVICE = End(epoch=77, is_gateway=False, baud=115200)


def syns(epoch: int, device_id: bytes = b"", count: int = 6) -> bytes:
    """What an end sends that nobody answers."""
    link = Link(epoch, device_id=device_id)
    return b"".join(bytes(link.transmit(3000 * number)) for number in range(count))


def found(data: bytes, end: End = GATEWAY) -> Finding:
    heard = Heard()
    for at in range(0, len(data), 100):
        heard.hear(data[at : at + 100])
    finding = diagnose(heard, end)
    assert finding.kind in KINDS
    assert finding.text.isprintable()
    assert len(finding.text) < 400
    return finding


BOARD = b"kitchen-sensor-1"
PROMPT = (
    b'MicroPython v1.29.0 on 2026-01-01; Generic ESP32 module with ESP32\r\nType "help()" for more information.\r\n>>> '
)
RAW = b"\r\nraw REPL; CTRL-B to exit\r\n>OK\x04Traceback (most recent call last):\r\n"
RAW += b'  File "<stdin>", line 1, in <module>\r\n'
RAW += b"NameError: name '\\x80' isn't defined\r\n\x04>"
FAILED = b'Traceback (most recent call last):\r\n  File "main.py", line 4, in <module>\r\n'
FAILED += b"ImportError: no module named 'settings\x1b[2J'\r\n"
BOOT = b"""ets Jul 29 2019 12:21:46\r
\r
rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r
configsip: 0, SPIWP:0xee\r
clk_drv:0x00,q_drv:0x00,d_drv:0x00,cs0_drv:0x00,hd_drv:0x00,wp_drv:0x00\r
mode:DIO, clock div:2\r
load:0x3fff0030,len:4892\r
ho 0 tail 12 room 4\r
load:0x40078000,len:14896\r
entry 0x40080748\r
"""
BOOT_C3 = b"ESP-ROM:esp32c3-api1-20210207\r\nBuild:Feb  7 2021\r\nrst:0x1 (POWERON),boot:0xc (SPI_FAST_FLASH_BOOT)\r\n"
BOOT_8266 = (
    b"\r\n ets Jan  8 2013,rst cause:2, boot mode:(3,6)\r\n\r\nload 0x40100000, len 31728, room 16 \r\ntail 0\r\n"
)
DOWNLOAD = b"rst:0x1 (POWERON_RESET),boot:0x3 (DOWNLOAD_BOOT(UART0/UART1/SDIO_REI_REO_V2))\r\nwaiting for download\r\n"
EMPTY = b"rst:0x10 (RTCWDT_RTC_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\ninvalid header: 0xffffffff\r\n" * 4
CRASH = (
    b"Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.\r\nCore 0 register dump:\r\n"
)
NMEA = b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n$GPRMC,123519,A,4807.038,N,01131.0*6A\r\n"

SEEN = {
    "nothing": (b"", "silence", "nothing arrives: has the board power"),
    "a MicroPython prompt": (PROMPT, "micropython prompt", "it looks like a MicroPython prompt"),
    "a prompt driven by our frames": (
        PROMPT + RAW + PROMPT,
        "micropython prompt",
        "it looks like a MicroPython prompt",
    ),
    "a traceback": (FAILED + PROMPT, "traceback", r"has ended with 'ImportError: no module named 'settings\x1b[2J''"),
    "a traceback without a prompt": (FAILED, "traceback", "has ended with 'ImportError"),
    "a traceback, then boot": (FAILED + BOOT, "boot messages", "an ESP32's boot messages"),
    "CircuitPython": (
        b"Code done running.\r\n\r\nPress any key to enter the REPL.\r\n",
        "circuitpython prompt",
        "Circuit",
    ),
    "boot messages": (BOOT, "boot messages", "an ESP32's boot messages"),
    "boot messages of a C3": (BOOT_C3, "boot messages", "an ESP32's boot messages"),
    "boot messages at 74880": (BOOT_8266, "boot messages", "an ESP32's boot messages"),
    "boot, then a prompt": (BOOT + PROMPT, "micropython prompt", "it looks like a MicroPython prompt"),
    "boot again and again": (BOOT.replace(b"POWERON_RESET", b"TG1WDT_SYS_RESET") * 9, "boot loop", "TG1WDT_SYS_RESET"),
    "a boot loader": (DOWNLOAD, "waiting for download", "GPIO0"),
    "an empty flash": (EMPTY, "empty flash", "flash the firmware"),
    "a weak supply": (BOOT + b"\r\nBrownout detector was triggered\r\n\r\n", "brownout", "supply"),
    "a crash": (BOOT + CRASH, "crash", "crashed"),
    "XMODEM": (b"CCCCCCCC", "xmodem", "XMODEM"),
    "a computer": (b"\r\nDebian GNU/Linux 12 pi ttyS0\r\n\r\npi login: ", "linux console", "console=serial0"),
    "a kernel": (b"[    0.000000] Booting Linux on physical CPU 0x0\r\n", "linux console", "a computer"),
    "GPS": (NMEA, "nmea", "NMEA"),
    "GPS in binary": (b"\xb5\x62\x01\x07\x5c\x00" + bytes(range(1, 93)), "gps", "UBX"),
    "a modem": (b"\r\nOK\r\n\r\n+CREG: 0,1\r\n\r\nOK\r\n", "modem", "AT commands"),
    "who looks for a modem": (b"AT\r\r\nAT\r", "modem", "ModemManager"),
    "PPP": (b"~\xff\x7d#\xc0!\x7d!\x7d!\x7d \x7d4" * 3, "ppp", "PPP"),
    "JSON": (b'{"t": 21.5, "h": 40}\r\n' * 5, "json", "JSON"),
    "MQTT 3.1.1": (b"\x10\x12\0\x04MQTT\x04\x02\0\x3c\0\x06sensor", "bare mqtt", "bare MQTT"),
    "MQTT 5.0": (b"\x10\x82\x01\0\x04MQTT\x05\x02\0\x3c\0\0\x06sensor", "bare mqtt", "bare MQTT"),
    "MQTT 3.1": (b"\x10\x14\0\x06MQIsdp\x03\x02\0\x3c\0\x06sensor", "bare mqtt", "bare MQTT"),
    "esptool": (b"\xc0\0\x08\x24\0\0\0\0\0\x07\x07\x12\x20" + b"U" * 32 + b"\xc0", "flash tool", "esptool"),
    "text": ("Temperatur: 21 °C\r\nFeuchte: 40 %\r\n".encode() * 3, "text", "its last line is 'Feuchte: 40 %'"),
    "Greek": ("θερμοκρασία\r\n".encode() * 9, "text", "its last line is 'θερμοκρασία'"),
    "escapes": (b"hello \x1b]0;x\x07\x1b[31m you\r\n", "text", r"'hello \x1b]0;x\x07\x1b[31m you'"),
    "a line without end": (b"x" * 200_000, "text", "200 kB of text"),
    "zeros": (bytes(50), "break", "RX is low"),
    "our own frames": (syns(5), "loopback", "RX and TX joined"),
    "our own frames, of before": (syns(3), "loopback", "RX and TX joined"),
    "a device that does not hear us": (syns(9, BOARD), "one way", f"device '{BOARD.decode()}' is heard, but does not"),
    "a name that shows off": (syns(9, b"\x1b[2J\n\xff"), "one way", r"device '\x1b[2J\n\xff' is heard"),
    "a device that has just come": (syns(9, BOARD, 1), "first frame", "just arrived"),
    "a board without settings": (
        BOOT + b"waiting for settings: \xe2\x80\xa6\n" + state(READY) * 9 + b"\x00\x20frame\x00",
        "waiting for settings",
        "mqttlite board setup --port",
    ),
    "a board with settings": (state(READY) + state(PROVISIONED), "has settings", "has its settings"),
    "a board that had none before": (state(READY) * 3 + BOOT + PROMPT, "micropython prompt", "a MicroPython prompt"),
    "another gateway": (syns(99), "two gateways", "another gateway"),
}


@pytest.mark.parametrize("name", SEEN)
def test_a_gateway_recognises(name: str) -> None:
    data, kind, words = SEEN[name]
    finding = found(data)
    assert finding.kind == kind
    assert words in finding.text


def test_a_device_recognises_a_gateway_that_does_not_hear_it_itself_and_another_device() -> None:
    assert found(syns(5), DEVICE) == ("one way", found(syns(5), DEVICE).text)
    assert "the gateway is heard, but does not hear us: does TX here go to RX there" in found(syns(5), DEVICE).text
    assert found(syns(77, BOARD), DEVICE).kind == "loopback"
    assert found(syns(9999999, BOARD), DEVICE).kind == "two devices"
    assert "does the gateway run" in found(b"", DEVICE).text


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        *((baud, 115200) for baud in (9600, 19200, 57600, 74880, 230400, 921600)),
        *((115200, baud) for baud in (9600, 57600, 230400, 921600)),
        *((250000, 9600), (38400, 9600)),
    ],
)
@pytest.mark.parametrize("what", [syns(9, BOARD), BOOT, PROMPT + RAW], ids=["frames", "boot", "prompt"])
def test_another_baud_rate_is_named_whatever_is_sent(what: bytes, sent: int, read: int) -> None:
    finding = found(resampled(what, sent, read), End(5, True, read))
    assert finding.kind in ("noise", "break")
    assert "baud rate" in finding.text
    assert str(read) in finding.text


@pytest.mark.parametrize("baud", [300, 9600, 115200])
def test_the_same_baud_rate_changes_nothing(baud: int) -> None:
    data = bytes(range(256)) * 2 + syns(9, BOARD)
    assert resampled(data, baud, baud) == data


def test_frames_of_which_many_are_damaged_are_a_bad_line() -> None:
    noise = Noise(4, bit_errors=3e-3)
    finding = found(noise.apply(syns(9, BOARD, 40)))
    assert finding.kind == "bad line"
    assert "arrive damaged" in finding.text


def test_another_version_of_the_link_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mqttlite.link.frames.VERSION", 2)
    data = syns(9, BOARD)
    monkeypatch.undo()
    assert found(data).kind == "other version"
    assert "speaks version 2 of the link's protocol, and we 1" in found(data).text


def test_what_is_remembered_is_bounded_whatever_arrives() -> None:
    heard = Heard()
    for _ in range(100):
        heard.hear(PROMPT * 100)
    assert heard.size == 100 * 100 * len(PROMPT)
    assert len(heard.head) == HEAD
    assert len(heard.tail) == TAIL
    assert diagnose(heard, GATEWAY).kind == "micropython prompt"


def test_what_others_sent_is_shown_escaped_and_bounded() -> None:
    assert shown(b"a\x1b[2J\r\n\xff\0") == r"a\x1b[2J\r\n\xff\x00"
    assert shown("\u202eä\ud800") == r"\u202eä\ud800"
    assert shown("x" * 100, 10) == "x" * 9 + "…"
    assert [amount(size) for size in (1, 999, 4096, 200_000)] == ["1 byte", "999 bytes", "4.1 kB", "200 kB"]


async def test_the_prompt_of_a_real_micropython_is_recognised_with_our_frames_typed_into_it() -> None:
    program = MicroPython().program
    master, slave = pty.openpty()
    tty.setraw(slave)
    process = await asyncio.create_subprocess_exec(str(program), stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    heard = Heard()
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(master, "rb", buffering=0)
    )
    try:
        async with asyncio.timeout(RUN_TIMEOUT_S):
            for _ in range(3):
                heard.hear(await reader.readuntil(b">>> "))
                os.write(master, syns(5, count=1))
        finding = diagnose(heard, GATEWAY)
        assert finding.kind == "micropython prompt"
    finally:
        process.kill()
        await process.wait()
        transport.close()


def test_a_single_frame_is_the_first_one_unless_others_came_before() -> None:
    heard = Heard()
    heard.hear(syns(9, BOARD, 1))
    assert diagnose(heard, GATEWAY).kind == "first frame"
    assert diagnose(heard, GATEWAY, frames_before=True).kind == "one way"
