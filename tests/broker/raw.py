"""A client over a real socket that sends and sees single packets, and a TCP proxy that cuts connections."""

import asyncio
import itertools
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mqttlite.core.codec import REMAINING_MAX
from mqttlite.core.parser import Parser
from tests.core.packets import Packet, decode_body, encode

TIMEOUT_S = 60.0


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2].partition("/")[0])


class RawClient:
    """`async with RawClient(port) as client: await client.connect("id"); client.send(...); await client.packet()`"""

    def __init__(self, port: int | Path) -> None:
        self._port = port  # of 127.0.0.1, or a Unix socket
        self._parser = Parser(REMAINING_MAX)
        self._ids = itertools.count(1)
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        if isinstance(self._port, Path):
            self.reader, self.writer = await asyncio.open_unix_connection(self._port)
        else:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()

    def cut(self) -> None:
        """End the connection without DISCONNECT."""
        self.writer.transport.abort()

    def send(self, kind: str, **fields: Any) -> None:
        self.writer.write(encode(Packet(kind, fields)))

    async def packet(self) -> Packet:
        """The next packet. EOFError when the broker has closed the connection."""
        while not (first := self._parser.next()):
            async with asyncio.timeout(TIMEOUT_S):
                data = await self.reader.read(65536)
            if not data:
                raise EOFError
            self._parser.feed(data)
        return decode_body(first, self._parser.buf, self._parser.start, self._parser.end)

    async def closed(self) -> None:
        """Wait until the broker has closed the connection."""
        try:
            while True:
                await self.packet()
        except (EOFError, ConnectionError):
            pass

    async def connect(self, client_id: str = "", clean: bool = True, present: bool = False, **more: Any) -> None:
        fields = {"keep_alive_s": 0, "username": None, "password": None, "will": None} | more
        self.send("connect", client_id=client_id, clean_session=clean, **fields)
        assert await self.packet() == ("connack", {"session_present": present, "code": 0})

    async def subscribe(self, topic_filter: str, qos: int) -> None:
        """Subscribe; SUBACK has to be the next packet."""
        packet_id = next(self._ids)
        self.send("subscribe", packet_id=packet_id, subscriptions=[(topic_filter, qos)])
        assert await self.packet() == ("suback", {"packet_id": packet_id, "codes": [qos]})

    def publish(
        self, topic: str, payload: bytes, qos: int = 0, packet_id: int | None = None, **more: bool
    ) -> int | None:
        """Send a message; its packet identifier."""
        if qos and packet_id is None:
            packet_id = next(self._ids)
        fields = {"retain": False, "dup": False} | more
        self.send("publish", topic=topic, payload=payload, qos=qos, packet_id=packet_id, **fields)
        return packet_id

    def acknowledge(self, packet: Packet) -> None:
        """Answer one packet of a handshake as the standard wants it."""
        kind, fields = packet
        answer = {"pubrec": "pubrel", "pubrel": "pubcomp"}.get(kind)
        if kind == "publish" and fields["qos"]:
            answer = "puback" if fields["qos"] == 1 else "pubrec"
        if answer:
            self.send(answer, packet_id=fields["packet_id"])

    async def messages(self, count: int) -> list[bytes]:
        """Take and acknowledge `count` messages, and what their handshakes need; the payloads."""
        payloads: list[bytes] = []
        open_handshakes = 0
        while len(payloads) < count or open_handshakes:
            packet = await self.packet()
            self.acknowledge(packet)
            if packet.kind == "publish":
                payloads.append(packet.fields["payload"])
                open_handshakes += packet.fields["qos"] == 2
            elif packet.kind == "pubrel":
                open_handshakes -= 1
        await self.writer.drain()
        return payloads


class Cutter:
    """A TCP proxy in front of `port` that cuts as many connections as `budgets` has numbers, one after another.

    A number says how many bytes pass, both directions together, before the connection is cut at exactly that byte.
    """

    def __init__(self, port: int, budgets: Iterable[int]) -> None:
        self._target = port
        self._budgets = list(budgets)
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def to_come(self) -> int:
        """Cuts that have not happened yet."""
        return len(self._budgets)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        left = self._budgets[:1]
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, back, left))
                group.create_task(self._carry(there, writer, left))
        except* (ConnectionError, EOFError):
            pass
        finally:
            if left and not left[0]:
                del self._budgets[0]
            writer.transport.abort()
            back.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: list[int]) -> None:
        while data := await reader.read(65536):
            if left:
                data = data[: left[0]]
                left[0] -= len(data)
            writer.write(data)
            await writer.drain()
            if left and not left[0]:
                break
        raise EOFError
