"""mosquitto_pub and mosquitto_sub: a process for each subscription, and one for each message."""

import asyncio
import signal
from typing import Any

from tests.peers import end, mosquitto_pub, program

from .peer import LINE_MAX, TIMEOUT_S, Connection, Options, Peer, Said, need

NAMES = {
    "content_type": "content-type",
    "response_topic": "response-topic",
    "correlation_data": "correlation-data",
    "expires_after_s": "message-expiry-interval",
    "payload_is_text": "payload-format-indicator",
}
# '=' cannot start a line of its own talk; '|' is in nothing that a feature sends.
FORMAT = "=%q|%r|x%x|%C|%D|%E|%F|%P|%R|%S|%t"


class MosquittoConnection(Connection):
    """Nothing runs before `subscribe`; then a mosquitto_sub with these options."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        need(options.over != "ws", "no WebSocket in Debian's")
        need(not options.topic_alias_maximum, "takes no topic aliases")
        self._options = options
        self._process: asyncio.subprocess.Process | None = None
        self._taking: asyncio.Task[None] | None = None
        self._said: list[str] = []

    @property
    def _where(self) -> list[str]:
        options = self._options
        words = ["-V", "5" if options.is_5 else "mqttv311"]
        return [*words, "--cafile", options.ca] if options.over == "tls" else words

    def _command(self, topic_filter: str, qos: int, given: dict[str, Any]) -> list[str]:
        options = self._options
        need(not given.get("no_local"), "mosquitto_sub has no such option")
        need(not given.get("retain_handling"), "mosquitto_sub has no such option")
        host = "localhost" if options.over == "tls" else "127.0.0.1"
        words = [program("stdbuf"), "-oL", program("mosquitto_sub"), "-h", host, "-p", str(options.port), "-d"]
        words += ["-F", FORMAT, "-t", topic_filter, "-q", str(qos), *self._where]
        if options.client_id:
            words += ["-i", options.client_id]
        if not options.clean or options.session_expiry_s:
            words += ["-c"]
        if options.is_5:
            if options.session_expiry_s:
                words += ["-x", str(options.session_expiry_s)]
            for name in ("receive_maximum", "packet_size_max"):
                theirs = {"receive_maximum": "receive-maximum", "packet_size_max": "maximum-packet-size"}[name]
                if value := getattr(options, name):
                    words += ["-D", "connect", theirs, str(value)]
            if given.get("retain_as_published"):
                words += ["--retain-as-published"]
            if identifier := given.get("subscription_identifier"):
                words += ["-D", "subscribe", "subscription-identifier", str(identifier)]
        if will := options.will:
            words += ["--will-topic", will.topic, "--will-payload", will.payload.decode(), "--will-qos", str(will.qos)]
            words += ["--will-retain"] if will.retain else []
            words += ["-D", "will", "will-delay-interval", str(will.delay_s)] if will.delay_s else []
        return words

    async def subscribe(self, topic_filter: str, qos: int, **options: Any) -> int:
        need(self._process is None, "one subscription for each process")
        self._process = await asyncio.create_subprocess_exec(
            *self._command(topic_filter, qos, options),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LINE_MAX,
        )
        async with asyncio.timeout(TIMEOUT_S):
            while not (line := await self._line()).startswith("Subscribed"):
                if line.startswith("="):
                    self._take(line)
                self._said.append(line)
        self._taking = asyncio.create_task(self._take_all())
        return int(line.partition("): ")[2].split(", ")[0])

    async def _line(self) -> str:
        assert self._process and self._process.stdout
        line = await self._process.stdout.readline()
        if not line:
            raise EOFError("mosquitto_sub has ended:\n" + "\n".join(self._said))
        return line.decode().rstrip("\n")

    async def _take_all(self) -> None:
        try:
            while True:
                line = await self._line()
                self._said.append(line)
                if line.startswith("="):
                    self._take(line)
        except EOFError:
            pass

    def _take(self, line: str) -> None:
        qos, retain, payload, content_type, correlation, expiry, is_text, users, response, identifiers, topic = line[
            1:
        ].split("|", 10)
        found: dict[str, Any] = {
            "content_type": content_type,
            "correlation_data": correlation.encode(),
            "expires_after_s": int(expiry or 0),
            "payload_is_text": is_text == "1",
            "user_properties": [tuple(pair.split(":", 1)) for pair in users.split()],
            "response_topic": response,
            "subscription_identifiers": [int(number) for number in identifiers.split()],
        }
        properties = {name: value for name, value in found.items() if value}
        self.arrived.put_nowait(Said(topic, bytes.fromhex(payload[1:]), int(qos), retain == "1", properties))

    async def unsubscribe(self, topic_filter: str) -> int | None:
        need(False, "mosquitto_sub unsubscribes at its start")
        return None

    async def publish(self, topic: str, payload: bytes, qos: int, retain: bool = False, **properties: Any) -> None:
        words = ["-t", topic, "-q", str(qos), "-s", *self._where, *(["-r"] if retain else [])]
        for name, value in properties.items():
            if name == "user_properties":
                for key, text in value:
                    words += ["-D", "publish", "user-property", key, text]
            else:
                text = value.decode() if isinstance(value, bytes) else str(int(value) if value is True else value)
                words += ["-D", "publish", NAMES[name], text]
        if not payload:
            words[words.index("-s")] = "-n"
        host = ["-h", "localhost"] if self._options.over == "tls" else []
        await mosquitto_pub(self._options.port, *host, *words, stdin=payload)

    async def publish_at_once(self, topic: str, payloads: "Any", qos: int) -> None:
        lines = b"\n".join(payloads) + b"\n"
        await mosquitto_pub(self._options.port, "-t", topic, "-q", str(qos), "-l", *self._where, stdin=lines)

    async def ended(self) -> int | None:
        need(self._options.is_5, "comes back by itself, and says nothing")
        assert self._taking
        async with asyncio.timeout(TIMEOUT_S):
            await self._taking  # it ends
        return next((int(line.rpartition("(")[2].rstrip(")")) for line in self._said if "DISCONNECT (" in line), None)

    async def close(self) -> None:
        if self._process and self._process.returncode is None:
            waiting = asyncio.create_task(self._process.wait())
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    while not waiting.done():  # mosquitto_sub may miss one that comes while it looks elsewhere
                        self._process.send_signal(signal.SIGINT)
                        await asyncio.wait([waiting], timeout=1)
            finally:
                await end(self._process)
                await waiting
        if self._taking:
            await asyncio.gather(self._taking, return_exceptions=True)


class MosquittoClients(Peer):
    """mosquitto_pub and mosquitto_sub."""

    name = "mosquitto_pub/sub"
    has_will_at_end = True

    async def connect(self, options: Options) -> Connection:
        return MosquittoConnection(options)
