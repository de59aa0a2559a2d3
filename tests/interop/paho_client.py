"""paho-mqtt as a client that tests can await."""

import asyncio
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import paho.mqtt.client as paho

TIMEOUT_S = 60.0


class Received(NamedTuple):
    topic: str
    payload: bytes
    qos: int
    retain: bool
    dup: bool


class PahoClient:
    """`async with PahoClient(port, "id") as client`: connected on entry, disconnected in good order at the end.

    Its network thread reconnects by itself when the connection is lost, and goes on with what is unfinished.
    """

    def __init__(
        self,
        port: int,
        client_id: str = "",
        *,
        clean: bool = True,
        subscribe: str = "",
        qos: int = 0,
        transport: Literal["tcp", "websockets"] = "tcp",
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._port = port
        self._subscribe = subscribe
        self._qos = qos
        self._events: dict[str, asyncio.Queue[Any]] = {}
        self._received: asyncio.Queue[Received] = asyncio.Queue()
        self.connects = 0
        self.paho = client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=clean,
            protocol=paho.MQTTv311,
            transport=transport,
        )
        client.max_queued_messages_set(0)
        client.reconnect_delay_set(min_delay=0.01, max_delay=0.01)  # type: ignore[arg-type]  # takes fractions, too
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_subscribe = lambda client, data, mid, codes, properties: self._tell("subscribed", codes)
        client.on_disconnect = lambda client, data, flags, code, properties: self._tell("disconnected", code)

    def _tell(self, what: str, value: Any) -> None:
        self._loop.call_soon_threadsafe(self._queue(what).put_nowait, value)

    def _queue(self, what: str) -> asyncio.Queue[Any]:
        return self._events.setdefault(what, asyncio.Queue())

    def _on_connect(self, client: paho.Client, data: Any, flags: Any, code: Any, properties: Any) -> None:
        self.connects += 1
        self._tell("connected", (code.value, flags.session_present))

    def _on_message(self, client: paho.Client, data: Any, m: paho.MQTTMessage) -> None:
        message = Received(m.topic, m.payload, m.qos, m.retain, m.dup)
        self._loop.call_soon_threadsafe(self._received.put_nowait, message)

    async def event(self, what: str) -> Any:
        """The next connected, subscribed or disconnected."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self._queue(what).get()

    async def __aenter__(self) -> Self:
        self.paho.connect_async("127.0.0.1", self._port)
        self.paho.loop_start()
        code, self.session_present = await self.event("connected")
        assert code == 0
        if self._subscribe:
            await self.subscribe(self._subscribe, self._qos)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.paho.disconnect()
        await asyncio.to_thread(self.paho.loop_stop)

    async def subscribe(self, topic_filter: str, qos: int) -> None:
        self.paho.subscribe(topic_filter, qos)
        assert [code.value for code in await self.event("subscribed")] == [qos]

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool = False) -> None:
        """Publish and wait for the end of the handshake."""
        info = self.paho.publish(topic, payload, qos, retain)
        await asyncio.to_thread(info.wait_for_publish, TIMEOUT_S)
        assert info.is_published()

    async def message(self) -> Received:
        async with asyncio.timeout(TIMEOUT_S):
            return await self._received.get()

    async def messages(self, count: int) -> list[Received]:
        return [await self.message() for _ in range(count)]

    def waiting(self) -> int:
        """Messages that arrived and were not asked for."""
        return self._received.qsize()
