"""What is at the other end of a serial line on which no session begins: from the bytes that arrive to words. CPython.

Pure: no clock, no port. A gateway asks it why no device is there, a client on a host why no gateway is. What can be
known for certain comes first (frames of our own, frames of an end that does not hear us), then text that is recognised,
then what can only be guessed.
"""

import codecs
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ..core.shown import amount, shown
from ..link import frames

if TYPE_CHECKING:
    from .line import Port

HEAD = 1024  # bytes remembered of the beginning of what was heard,
TAIL = 3072  # and of its end
_SAID = 60  # characters of a line of text that are shown
_EPOCHS = 1 << 16  # an end counts its epoch on: so far back is one's own
_TEXT = frozenset(b"\t\n\r\x1b\x04\x07\x08" + bytes(range(32, 127)))  # \x04: a MicroPython prompt's end of output


class Tapped:
    """A port whose bytes are heard by `hear`, too; see line.Port."""

    def __init__(self, port: "Port", hear: Callable[[bytes], None]) -> None:
        self._port = port
        self._hear = hear
        self.write = port.write
        self.close = port.close

    async def read(self) -> bytes:
        data = await self._port.read()
        self._hear(data)
        return data


class Finding(NamedTuple):
    """`kind`: a word for programs, one of KINDS; `text`: what was seen, what it looks like, and what to do."""

    kind: str
    text: str


class Heard:
    """What has arrived on a line: its size, its first bytes and its last ones."""

    def __init__(self) -> None:
        self.size = 0
        self.head = bytearray()
        self.tail = bytearray()

    def hear(self, data: bytes | bytearray) -> None:
        """Remember `data`, as it came."""
        self.size += len(data)
        room = HEAD - len(self.head)
        if room > 0:
            self.head += data[:room]
            data = data[room:]
        if data:
            self.tail += data[-TAIL:]
            del self.tail[:-TAIL]

    def pieces(self) -> list[bytes]:
        """What is remembered: one piece, or beginning and end."""
        if self.size <= HEAD + TAIL:
            return [bytes(self.head + self.tail)]
        return [bytes(self.head), bytes(self.tail)]


class End(NamedTuple):
    """The end of the line that asks.

    `epoch`: its link's; `is_gateway`: or a device; `baud`: what its port is set to, bit/s.
    """

    epoch: int
    is_gateway: bool
    baud: int


# What a text looks like and what to do, by a pattern. Of several that match, the one that stands last in the text
# counts: what a board says comes after what its boot loader says.
_BOARD_TEXTS: tuple[tuple[str, str, str], ...] = (
    (
        "micropython prompt",
        r">>> ?\Z|Type \"help\(\)\" for more information|raw REPL; CTRL-B to exit|MPY: soft reboot",
        "a MicroPython prompt: no program runs there. Does main.py exist, and has it ended? Reset the board, or "
        "press Ctrl-D in mqttlite console; a program whose link has a UART of its own needs the port of that one",
    ),
    (
        "circuitpython prompt",
        r"Adafruit CircuitPython|Press any key to enter the REPL|Code done running",
        "CircuitPython, on which mqttlite does not run; flash MicroPython",
    ),
    (
        "waiting for download",
        r"waiting for download|DOWNLOAD_BOOT|DOWNLOAD\(U",
        "an ESP32's boot loader that waits for a program: GPIO0 (or GPIO9) was low at reset. Let it go, and reset the "
        "board",
    ),
    (
        "empty flash",
        r"invalid header: 0x|flash read err|No bootable app|csum err",
        "an ESP32 without a program in its flash: flash the firmware",
    ),
    ("brownout", r"[Bb]rownout detector", "an ESP32 whose supply voltage breaks down: use a better supply or cable"),
    (
        "crash",
        r"Guru Meditation Error|abort\(\) was called|CORRUPT HEAP|Stack smashing",
        "an ESP32 whose firmware has crashed: flash it again, or report it",
    ),
    (
        "boot messages",
        r"rst:0x|ets [A-Z][a-z]{2} +\d+ \d{4}|ESP-ROM:|configsip:|entry 0x4|boot: ESP-IDF|rst cause:",
        "an ESP32's boot messages: it has just been reset, or its program does not speak on this line. Wait, then see "
        "whether its program runs",
    ),
    (
        "linux console",
        r"(^|\n)[\w.-]+ login: ?\Z|Password: ?\Z|\[ +\d+\.\d{6}\] |U-Boot \d|Hit any key to stop autoboot|[$#] \Z",
        "the console of a computer (Linux or its boot loader), not a board; is this its port? On a Pi, remove "
        "console=serial0 from cmdline.txt",
    ),
    (
        "xmodem",
        r"C{4,}\Z",
        "a boot loader that waits for a program by XMODEM: reset the board without its boot button",
    ),
    (
        "nmea",
        r"\$[A-Z]{2}[A-Z]{3},[^\n]*\*[0-9A-F]{2}|!AIVDM,",
        "a GPS or other NMEA receiver, not a board with mqttlite",
    ),
    (
        "modem",
        r"(^|\n)(AT[+&\w=?,\"]*|OK|RING|NO CARRIER|\+C[A-Z]{2,4}:[^\n]*|ERROR|SMS Ready|RDY)\s*\Z",
        "a modem that speaks AT commands, or a program that looks for one (ModemManager: see gateway/udev)",
    ),
    ("json", r"(^|\n)[\[{].*[\]}]\s*\Z", "a program that writes its readings as JSON, without mqttlite's link"),
)
_TEXTS = tuple((kind, re.compile(pattern), words) for kind, pattern, words in _BOARD_TEXTS)
_PROMPTS = ("micropython prompt", "circuitpython prompt")
_RESET = re.compile(r"rst:0x[0-9a-f]+ \(([A-Z0-9_]+)\)")
_BOOT_LOOP = 3  # resets within what is remembered
_TRACEBACK = re.compile(r"Traceback \(most recent call last\):\r*\n((?:  [^\n]*\n)+)([^\n]+)")

# What binary data looks like, by a pattern in it.
_BINARY: tuple[tuple[str, "re.Pattern[bytes]", str], ...] = (
    (
        "bare mqtt",
        re.compile(rb"\x10[\x0a-\xff][\x01-\x7f]?\x00(\x04MQTT[\x03-\x05]|\x06MQIsdp\x03)"),
        "bare MQTT, without mqttlite's link: the board's program writes what an MQTT client sends straight to the "
        "UART; let it use mqttlite with a serial:// URL",
    ),
    (
        "flash tool",
        re.compile(rb"\xc0\x00\x08\x24\x00.{4}\x07\x07\x12\x20UUU", re.DOTALL),
        "a tool that wants to flash a board (esptool): another computer is at the other end",
    ),
    ("gps", re.compile(rb"\xb5\x62[\x01-\x29].{3}", re.DOTALL), "a GPS receiver (UBX), not a board with mqttlite"),
    ("ppp", re.compile(rb"~\xff\x7d#"), "PPP: a modem, or a computer's serial console"),
)

# A board that says over Improv in which state it is: READY (2), PROVISIONING (3), PROVISIONED (4).
_IMPROV = re.compile(rb"IMPROV\x01\x01\x01([\x02-\x04])")
_LATEST = 300  # bytes at the end of what was heard: it says so every second

KINDS = (
    *("waiting for settings", "has settings"),
    *("silence", "loopback", "first frame", "one way", "two gateways", "two devices", "other version", "bad line"),
    *("traceback", "boot loop", *(kind for kind, _, _ in _TEXTS), "text"),
    *(*(kind for kind, _, _ in _BINARY), "break", "noise"),
)


def diagnose(heard: Heard, end: End, *, frames_before: bool = False) -> Finding:
    """What is at the other end of the line, if `heard` is all that has come from there for a while; `frames_before`:
    frames came before that while, too, so that a single one is not the first.
    """
    if not heard.size:
        return _silence(end)
    pieces = heard.pieces()
    return (
        _improv(pieces)
        or _frames(pieces, end, frames_before)
        or _text(heard.size, pieces)
        or _binary(heard.size, pieces)
        or _noise(heard.size, pieces, end)
    )


def _silence(end: End) -> Finding:
    if end.is_gateway:
        return Finding(
            "silence",
            "nothing arrives: has the board power, does its program run, does its TX go to RX here, and is the ground "
            "wired?",
        )
    return Finding("silence", "nothing arrives: does the gateway run, is this its line, and does its TX go to RX here?")


def _improv(pieces: list[bytes]) -> Finding | None:
    """What a board says that speaks Improv, if it is the last thing that was heard."""
    states = list(_IMPROV.finditer(pieces[-1], max(0, len(pieces[-1]) - _LATEST)))
    if not states:
        return None
    if states[-1][1] == b"\x04":
        return Finding("has settings", "a board that has its settings and is asked for them; it will start soon")
    return Finding(
        "waiting for settings",
        "a board that waits for its settings: stop this program and run mqttlite board setup --port with this port, or "
        "let a gateway set it up ([provision] in gateway.toml)",
    )


def _frames(pieces: list[bytes], end: End, before: bool) -> Finding | None:
    """What the frames say, if there are any."""
    syns: list[frames.Greeting] = []
    whole = damaged = 0
    for piece in pieces:
        for chunk in piece.split(b"\0"):
            if not 1 < len(chunk) <= frames.MAX_FRAME or chunk[1] < frames.DATA:
                continue
            buffer = bytearray(chunk)
            start = frames.decode(buffer, len(chunk))
            if not start:
                damaged += 1
                continue
            whole += 1
            if buffer[1] & 0xF0 in (frames.SYN, frames.SYN_ACK):
                peer = frames.Greeting(memoryview(bytes(buffer[start : len(chunk) - 4])))
                if peer.valid:
                    syns.append(peer)
    if not whole:
        return None
    others = [peer for peer in syns if not _is_own(peer, end)]
    if syns and not others:
        return Finding(
            "loopback",
            "our own frames come back, and nothing else: are RX and TX joined here, or does the adapter or a terminal "
            "echo?",
        )
    if not others:  # frames of a session that only the other end believes in
        return Finding("one way", _one_way("the other end is heard, but it does not hear us", end))
    peer = others[-1]
    if peer.version != frames.VERSION:
        text = f"the other end speaks version {peer.version} of the link's protocol, and we {frames.VERSION}"
        return Finding("other version", f"{text}: update the older one")
    if end.is_gateway and not peer.device_id:
        return Finding("two gateways", "another gateway is at the other end: a line joins one gateway and one device")
    if not end.is_gateway and peer.device_id:
        name = shown(peer.device_id)
        return Finding("two devices", f"a device, '{name}', is at the other end, no gateway: is this the right line?")
    if whole + damaged == 1 and not before:
        return Finding("first frame", "the first frame has just arrived")
    if damaged * 3 > whole:
        text = f"of {whole + damaged} frames {damaged} arrive damaged: a shorter cable, common ground, or a lower baud "
        return Finding("bad line", f"{text}rate at both ends may help")
    who = f"device '{shown(peer.device_id)}'" if peer.device_id else "the gateway"
    return Finding("one way", _one_way(f"{who} is heard, but does not hear us", end))


def _is_own(peer: frames.Greeting, end: End) -> bool:
    return bool(peer.device_id) != end.is_gateway and (end.epoch - peer.epoch) & 0xFFFFFFFF < _EPOCHS


def _one_way(what: str, end: End) -> str:
    return f"{what}: does TX here go to RX {'of the board' if end.is_gateway else 'there'}, and is it the right pin?"


def _text(size: int, pieces: list[bytes]) -> Finding | None:
    """What the text says, if it is text: nearly all of the latest of it is."""
    latest = pieces[-1]
    plain = sum(byte in _TEXT for byte in latest)
    if plain < 0.9 * len(latest) and not _is_utf8_text(latest):
        return None
    text = "\n".join(piece.decode(errors="replace").replace("\r", "") for piece in pieces)
    seen = f"{amount(size)} of text"
    kind, words = _recognised(text)
    if kind in _PROMPTS or not kind:
        # Not of what our own frames made a prompt say: `File "<stdin>"` is in those.
        tracebacks = [found for found in _TRACEBACK.finditer(text) if '"<stdin>"' not in found[1]]
        if tracebacks:
            error = shown(tracebacks[-1][2], _SAID)
            text = (
                f"{seen}, with a traceback: the board's program has ended with '{error}'; mend it, and reset the board"
            )
            return Finding("traceback", text)
    resets = _RESET.findall(text)
    if len(resets) >= _BOOT_LOOP and kind == "boot messages":
        words = f"an ESP32 that resets again and again (the last cause: {resets[-1]}): its program fails at start"
        kind = "boot loop"
    if kind:
        return Finding(kind, f"{seen}, it looks like {words}")
    line = shown(next((line for line in reversed(text.splitlines()) if line.strip()), ""), _SAID)
    return Finding("text", f"{seen}, and no frame; its last line is '{line}'. Is this the board, and its right UART?")


def _is_utf8_text(data: bytes) -> bool:
    """Whether `data` is UTF-8 with signs of other languages; its first and last character may be cut."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data.lstrip(bytes(range(0x80, 0xC0))))
    except UnicodeDecodeError:
        return False
    return sum(sign.isprintable() or sign in "\t\n\r\x1b" for sign in text) > 0.95 * len(text) > 15


def _recognised(text: str) -> tuple[str, str]:
    """Kind and words of the pattern that matches last; "" without one."""
    best, found = -1, ("", "")
    for kind, pattern, words in _TEXTS:
        last = -1
        for match in pattern.finditer(text):
            last = match.end()
        if last > best:
            best, found = last, (kind, words)
    return found


def _binary(size: int, pieces: list[bytes]) -> Finding | None:
    for kind, pattern, words in _BINARY:
        if any(pattern.search(piece) for piece in pieces):
            return Finding(kind, f"{amount(size)}, it looks like {words}")
    return None


def _noise(size: int, pieces: list[bytes], end: End) -> Finding:
    different = set().union(*pieces)
    if different == {0}:
        return Finding(
            "break",
            f"{amount(size)}, all of them zero: RX is low. Is it joined to ground, is the board without power, the "
            f"signal inverted (RS-232), or the other end's baud rate far below {end.baud}?",
        )
    whose = "the device's" if end.is_gateway else "the gateway's"
    text = f"{amount(size)} that are neither frames nor text: nothing of it makes sense. Is {end.baud} {whose} baud "
    text += "rate, too, and is the ground wired?"
    if end.baud == 115200 and end.is_gateway:
        text += " (An ESP8266 boots at 74880 baud, whatever its program uses.)"
    return Finding("noise", text)
