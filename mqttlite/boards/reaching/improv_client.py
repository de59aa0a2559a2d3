"""Sets up a board over a serial line: Improv's side of the computer, for boards of ours and, as far as Wi-Fi goes, for
others. `mqttlite board setup`, `mqttlite flash` and the gateway do it with this.

    async with ImprovClient(open_port("/dev/ttyUSB0")) as board:
        await board.detect()
        networks = await board.scan()
        address = await board.put(settings)

What a board prints meanwhile goes to `on_line`, a line at a time.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from mqttlite_board import improv

from ...core.shown import shown
from ...serial.diagnosis import End, Heard, diagnose
from ..settings.settings_file import to_json

if TYPE_CHECKING:
    from ...serial.line import Port

ASK_AGAIN_S = 0.5  # while nothing answers
RESET_S = 2.5  # nothing has answered for so long: the board is reset, where the port can do that
DETECT_S = 10.0
ANSWER_S = 4.0  # for a command that the board can answer at once; it collects garbage now and then
SCAN_S = 20.0
JOIN_S = 45.0  # for the board to be let into its network
ATTEMPTS = 3
LINES_MAX = 200  # characters of a line that a board prints
_T = TypeVar("_T")

_ERRORS = {
    improv.INVALID: "the board takes the command for damaged",
    improv.UNKNOWN: "the board does not know the command: it runs other firmware than mqttlite's",
    improv.UNABLE: "the board cannot join the network: wrong password, out of reach, or a network of 5 GHz",
    improv.BAD_NAME: "the board does not take the name: letters, digits and hyphens, 32 at most",
}


class BoardError(ValueError):
    """The board cannot be set up; says what is wrong and what to do."""


class NotDetectedError(BoardError):
    """Nothing on the line speaks Improv; `kind` is what it looks like instead (diagnosis.KINDS)."""

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text)
        self.kind = kind


class RefusedError(BoardError):
    """The board answers with an error; `code` is improv's."""

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(text or _ERRORS.get(code, "the board reports an error that it does not explain"))
        self.code = code


class Network(NamedTuple):
    """A Wi-Fi that the board sees; `rssi` in dBm."""

    name: str
    rssi: int
    is_secured: bool

    @property
    def strength(self) -> str:
        """In words."""
        return "strong" if self.rssi >= -60 else "good" if self.rssi >= -70 else "weak" if self.rssi >= -80 else "poor"


class Info(NamedTuple):
    """What the board says of itself."""

    firmware: str
    version: str
    chip: str
    name: str
    runtime: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether it takes a whole settings record."""
        return self.firmware == "mqttlite"


class ImprovClient:
    """A board at the other end of an open `port` (of `baud` bit/s); entering it begins to listen, leaving it closes the
    port. `reset` starts the board again, where the port can do that.
    """

    def __init__(
        self,
        port: "Port",
        on_line: Callable[[str], object] | None = None,
        *,
        baud: int = 115200,
        reset: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self.state: int | None = None  # what the board has said last, of improv.READY and the others
        self._port = port
        self._on_line = on_line
        self._baud = baud
        self._reset = reset
        self._heard = Heard()
        self._parser = improv.Parser(noise_max=4096)
        self._packets: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self._text = bytearray()

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        self._port.close()

    # -- what can be asked

    async def detect(self, timeout_s: float = DETECT_S) -> int:
        """The board's state; asks until it answers. Raises NotDetectedError with what the line looks like instead."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        was_reset = False
        while (left_s := begun + timeout_s - loop.time()) > 0:
            await self._send(improv.GET_STATE)
            try:
                await self._packet(improv.STATE, min(ASK_AGAIN_S, left_s))
            except TimeoutError:
                if self._reset and not was_reset and loop.time() - begun > RESET_S:
                    was_reset = True
                    await self._reset()
                continue
            assert self.state is not None
            return self.state
        finding = diagnose(self._heard, End(0, True, self._baud))
        text = finding.text
        if finding.kind in ("one way", "first frame"):
            text = "the board's program runs, with its link on this port: it has its settings, and a gateway serves it"
        elif finding.kind == "micropython prompt":
            text = f"{text}; without a program on it: mqttlite flash"
        raise NotDetectedError(f"no board that waits for settings answers: {text}", finding.kind)

    async def info(self) -> Info:
        """What the board is."""
        strings = await self._retried(improv.INFO)
        strings += [""] * (5 - len(strings))
        return Info(*strings[:5])

    async def scan(self) -> list[Network]:
        """The networks that the board sees, the strongest first; none for a board without Wi-Fi."""
        await self._send(improv.SCAN)
        found: dict[str, Network] = {}
        while True:
            strings = await self._result(improv.SCAN, SCAN_S)
            if not strings:
                return sorted(found.values(), key=lambda network: -network.rssi)
            if len(strings) >= 3 and strings[1].lstrip("-").isdecimal():
                network = Network(strings[0], int(strings[1]), strings[2] != "NO")
                if network.name not in found or found[network.name].rssi < network.rssi:
                    found[network.name] = network

    async def set_wifi(self, name: str, password: str) -> str:
        """Wi-Fi alone, as every Improv device takes it; the URL that the board returns, or "". Raises RefusedError."""
        parts = [part.encode() for part in (name, password)]
        if any(len(part) > 100 for part in parts):
            raise BoardError("no network has a name or password of more than 100 bytes")
        data = b"".join(bytes([len(part)]) + part for part in parts)
        await self._send(improv.WIFI, data)
        return (await self._result(improv.WIFI, JOIN_S) or [""])[0]

    async def settings(self) -> dict[str, Any]:
        """The record of a board of ours, as far as it has one, without secrets."""
        text = b""
        while True:
            data = await self._retried_raw(improv.GET, len(text).to_bytes(2, "big"))
            piece = data[1:]
            if not piece:
                break
            text += piece
        try:
            values = json.loads(text)
        except ValueError:
            values = None
        return values if isinstance(values, dict) else {}

    async def put(self, values: dict[str, Any]) -> str:
        """Give a board of ours its settings; it tries them, keeps them, and starts again. Its address in the network,
        or "". Raises BoardError with the board's words, SettingError for what cannot be right.
        """
        record = to_json(values)
        if len(record) > 4096:
            raise BoardError(f"the settings have {len(record)} bytes, and a board takes 4096")
        return await self._insisting(lambda: self._put(record))

    async def _put(self, record: bytes) -> str:
        total = len(record).to_bytes(2, "big")
        for at in range(0, len(record), improv.PIECE):
            piece = record[at : at + improv.PIECE]
            await self._send(improv.PUT, at.to_bytes(2, "big") + total + piece)
            is_last = at + len(piece) == len(record)
            said = await self._result(improv.PUT, JOIN_S if is_last else ANSWER_S)
            if said[:1] == ["wrong"]:
                raise RefusedError(improv.OTHER, ": ".join(["the board says", *said[1:]]))
            if said[:1] == ["saved"]:
                return said[1] if len(said) > 1 else ""
        raise BoardError("the board has taken the settings, and does not say that it has kept them")

    # -- packets

    async def _send(self, command: int, data: bytes = b"") -> None:
        """Send a command; what has come before it is no answer to it."""
        while not self._packets.empty():
            self._packets.get_nowait()
        await self._port.write(improv.rpc(command, data))

    async def _retried(self, command: int) -> list[str]:
        return _strings(await self._retried_raw(command, b""))

    async def _retried_raw(self, command: int, data: bytes) -> bytes:
        """The result of a command that may be sent more than once."""

        async def ask() -> bytes:
            await self._send(command, data)
            return await self._result_raw(command, ANSWER_S)

        return await self._insisting(ask)

    async def _insisting(self, ask: Callable[[], Awaitable[_T]]) -> _T:
        """What comes of it, tried again when no answer comes. Raises BoardError."""
        for _ in range(ATTEMPTS):
            with contextlib.suppress(TimeoutError):
                return await ask()
        raise BoardError("the board has stopped to answer; press its reset button, and try again")

    async def _result(self, command: int, timeout_s: float) -> list[str]:
        return _strings(await self._result_raw(command, timeout_s))

    async def _result_raw(self, command: int, timeout_s: float) -> bytes:
        """The data of the next result of a command. Raises RefusedError, TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while True:
                kind, data = await self._any_packet()
                if kind == improv.RESULT and data[:1] == bytes([command]):
                    parsed = improv.command(data)
                    if parsed:
                        return parsed[1]
                if kind == improv.ERROR and data[:1] not in (b"", b"\0"):
                    raise RefusedError(data[0])

    async def _packet(self, kind: int, timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s):
            while (await self._any_packet())[0] != kind:
                pass

    async def _any_packet(self) -> tuple[int, bytes]:
        """The next packet. Raises PortError when the port is gone."""
        if self._packets.empty():
            waiting = asyncio.ensure_future(self._packets.get())
            try:
                await asyncio.wait([waiting, self._reader], return_when=asyncio.FIRST_COMPLETED)
                if not waiting.done():
                    self._reader.result()  # raises why the port is gone
            finally:
                waiting.cancel()
            return await waiting
        return self._packets.get_nowait()

    async def _read(self) -> None:
        while True:
            data = await self._port.read()
            self._heard.hear(data)
            for kind, body in self._parser.feed(data):
                if kind == improv.STATE and body:
                    self.state = body[0]
                self._packets.put_nowait((kind, body))
            self._text += self._parser.noise
            self._parser.noise.clear()
            *lines, rest = self._text.split(b"\n")
            self._text = bytearray(rest[-LINES_MAX:])
            for line in lines:
                text = shown(bytes(line).strip(b"\r"), LINES_MAX)
                if text and self._on_line:
                    self._on_line(text)


def _strings(data: bytes) -> list[str]:
    return [part.decode(errors="replace") for part in improv.lengths(data) or []]
