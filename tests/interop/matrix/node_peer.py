"""MQTT.js: one Node.js process with all connections, spoken to in lines of JSON (tests/node/mqtt_clients.mjs)."""

import asyncio
import itertools
import json
from collections.abc import Sequence
from typing import Any

from tests.peers import end, program, unavailable
from tests.runtimes import NODE_MODULES, ROOT

from .peer import LINE_MAX, TIMEOUT_S, Connection, Options, Peer, Said

NAMES = {
    "content_type": "contentType",
    "response_topic": "responseTopic",
    "correlation_data": "correlationData",
    "expires_after_s": "messageExpiryInterval",
    "payload_is_text": "payloadFormatIndicator",
    "user_properties": "userProperties",
    "subscription_identifiers": "subscriptionIdentifier",
}


class NodeConnection(Connection):
    """A client in the process."""

    def __init__(self, peer: "MqttJs", name: int, is_5: bool) -> None:
        super().__init__()
        self._peer = peer
        self._name = name
        self._is_5 = is_5
        self._ended: asyncio.Queue[int | None] = asyncio.Queue()
        self._is_closed = False

    async def ask(self, do: str, **more: Any) -> Any:
        return await self._peer.ask(do, client=self._name, **more)

    async def subscribe(self, topic_filter: str, qos: int, **options: Any) -> int:
        asked: dict[str, Any] = {"qos": qos}
        for name, theirs in (("no_local", "nl"), ("retain_as_published", "rap"), ("retain_handling", "rh")):
            if name in options:
                asked[theirs] = options[name]
        if identifier := options.get("subscription_identifier"):
            asked["properties"] = {"subscriptionIdentifier": identifier}
        return int(await self.ask("subscribe", filter=topic_filter, options=asked))

    async def unsubscribe(self, topic_filter: str) -> int | None:
        codes = await self.ask("unsubscribe", filter=topic_filter)
        return codes[0] if self._is_5 and codes else None

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool = False, **properties: Any) -> None:
        found: dict[str, Any] = {}
        for name, value in properties.items():
            if name == "user_properties":
                pairs: dict[str, list[str]] = {}
                for key, text in value:
                    pairs.setdefault(key, []).append(text)
                value = pairs
            found[NAMES.get(name, name)] = value.decode() if isinstance(value, bytes) else value
        options: dict[str, Any] = {"qos": qos, "retain": retain}
        if found:
            options["properties"] = found
        await self.ask("publish", topic=topic, payload=payload.hex(), options=options)

    async def publish_again(self, topic: str, payloads: Sequence[bytes]) -> None:
        for number, payload in enumerate(payloads):
            await self.publish("" if number else topic, payload, 1, topicAlias=1)

    def tell(self, event: dict[str, Any]) -> None:
        """An event of this client's."""
        if event["event"] == "end":
            self._ended.put_nowait(event.get("code") if self._is_5 else None)
            return
        found: dict[str, Any] = {}
        for name, theirs in NAMES.items():
            if (value := event["properties"].get(theirs)) is not None:
                found[name] = value
        if "correlation_data" in found:
            found["correlation_data"] = bytes(found["correlation_data"]["data"])
        if users := found.get("user_properties"):
            found["user_properties"] = [
                (key, text) for key, texts in users.items() for text in (texts if isinstance(texts, list) else [texts])
            ]
        if isinstance(number := found.get("subscription_identifiers"), int):
            found["subscription_identifiers"] = [number]
        self.arrived.put_nowait(
            Said(event["topic"], bytes.fromhex(event["payload"]), event["qos"], event["retain"], found)
        )

    async def ended(self) -> int | None:
        async with asyncio.timeout(TIMEOUT_S):
            return await self._ended.get()

    async def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            await self.ask("close")


class MqttJs(Peer):
    """MQTT.js."""

    name = "MQTT.js"

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._numbers = itertools.count()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._clients: dict[int, NodeConnection] = {}

    async def ask(self, do: str, **more: Any) -> Any:
        """What the process answers. AssertionError with its words."""
        assert self._process and self._process.stdin
        number = next(self._numbers)
        self._answers[number] = answer = asyncio.get_running_loop().create_future()
        self._process.stdin.write(json.dumps({"id": number, "do": do, **more}).encode() + b"\n")
        async with asyncio.timeout(TIMEOUT_S):
            found = await answer
        assert "error" not in found, found["error"]
        return found.get("result")

    async def _read(self) -> None:
        assert self._process and self._process.stdout
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            else:
                self._clients[said["client"]].tell(said)

    async def connect(self, options: Options) -> Connection:
        if self._process is None:
            if not (NODE_MODULES / "mqtt").is_dir():
                unavailable("MQTT.js (build/node)")
            self._process = await asyncio.create_subprocess_exec(
                program("node"),
                str(ROOT / "tests" / "node" / "mqtt_clients.mjs"),
                str(NODE_MODULES / "mqtt"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=LINE_MAX,
            )
            self._reading = asyncio.create_task(self._read())
        name = next(self._numbers)
        connection = self._clients[name] = NodeConnection(self, name, options.is_5)
        scheme = {"tcp": "mqtt", "tls": "mqtts", "ws": "ws"}[options.over]
        properties = {
            "sessionExpiryInterval": options.session_expiry_s,
            "receiveMaximum": options.receive_maximum,
            "maximumPacketSize": options.packet_size_max,
            "topicAliasMaximum": options.topic_alias_maximum,
        }
        given: dict[str, Any] = {
            "url": f"{scheme}://{'localhost' if options.over == 'tls' else '127.0.0.1'}:{options.port}/mqtt",
            "protocolVersion": 5 if options.is_5 else 4,
            "clientId": options.client_id,
            "clean": options.clean,
            "ca": options.ca,
        }
        if options.is_5:
            given["properties"] = {key: value for key, value in properties.items() if value}
        if will := options.will:
            given["will"] = {"topic": will.topic, "payload": will.payload.decode(), "qos": will.qos}
            given["will"]["retain"] = will.retain
            if will.delay_s:
                given["will"]["properties"] = {"willDelayInterval": will.delay_s}
        connection.session_present = await connection.ask("connect", options=given)
        return connection

    async def close(self) -> None:
        if self._process:
            await end(self._process)
            assert self._reading
            await self._reading
