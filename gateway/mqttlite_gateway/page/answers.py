"""What the page's scripts ask for, and have done: JSON in, JSON out. What is wrong with a request is a sentence.

Each change is a line of the audit, with who has made it.
"""

import asyncio
import binascii
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from mqttlite.broker.audit import audit
from mqttlite.broker.operating.named_actions import NamedActions
from mqttlite.core.errors import MQTTError

from ..running import Running
from .arguments import text
from .collect import Collector
from .door import Door, read_json, refused
from .parts import as_json
from .payload import SHOWN_BYTES, shown
from .people import Visitor
from .streams import Stream, Streams
from .topics import PAYLOAD_MAX, Show, Topics

if TYPE_CHECKING:
    from ..uplink import Uplink

WAYS_MAX = 200  # messages of the ledger in one answer
SLICE = 50  # dead letters before the gateway has its turn
UPLINK_S = 30.0  # for an upstream to do what it is told
LETTERS_MAX = 500  # dead letters of one upstream in one answer

_Found = dict[str, Any]
Action = Callable[[_Found, Visitor], Awaitable[Any]]


class Answers:
    """`looks`: by path, for GET; `acts`: for POST. Each is given the request's arguments and who asks."""

    def __init__(self, gateway: Running, collector: Collector, streams: Streams, topics: Topics, door: Door) -> None:
        self._gateway = gateway
        self._door = door
        self._collector = collector
        self._streams = streams
        self._topics = topics
        self.looks: dict[str, Action] = {
            "/api/me": self._me,
            "/api/samples": self._samples,
            "/api/sparks": self._sparks,
            "/api/set-aside": self._set_aside,
            "/api/queues": self._queues,
            "/api/ways": self._ways,
            "/api/way": self._way,
        }
        self.acts: dict[str, Action] = {
            "/api/tail": self._tail,
            "/api/publish": self._publish,
            "/api/set-aside": self._decide,
            "/api/try-now": self._try_now,
            "/api/queues": self._decide_queue,
        }

    async def look(self, request: web.Request) -> web.Response:
        """Answer a GET."""
        return await self._answer(self.looks, dict(request.query), request)

    async def act(self, request: web.Request) -> web.Response:
        """Answer a POST."""
        try:
            arguments = await read_json(request)
        except (ValueError, TimeoutError):
            arguments = None
        if not isinstance(arguments, dict):
            return refused(400, "a request is a JSON object")
        return await self._answer(self.acts, arguments, request)

    async def _answer(self, actions: dict[str, Action], arguments: _Found, request: web.Request) -> web.Response:
        action, visitor = actions.get(request.path), self._door.visitor(request)
        if action is None or visitor is None:
            return refused(404, "there is no such request")
        try:
            found = await action(arguments, visitor)
        except (ValueError, MQTTError, OSError) as error:
            return refused(400, str(error))
        return web.Response(text=as_json(found), content_type="application/json")

    # -- to look at

    async def _me(self, arguments: _Found, visitor: Visitor) -> _Found:
        return {
            "name": visitor.name,
            "may_act": visitor.may_act,
            "csrf": visitor.csrf,
            "has_ledger": self._gateway.ledger is not None,
            "has_broker": self._gateway.broker is not None,
        }

    async def _samples(self, arguments: _Found, visitor: Visitor) -> _Found:
        return self._collector.history(text(arguments, "of"), text(arguments, "span"))

    async def _sparks(self, arguments: _Found, visitor: Visitor) -> dict[str, list[float]]:
        return self._collector.sparks()

    async def _set_aside(self, arguments: _Found, visitor: Visitor) -> list[_Found]:
        found = []
        for uplink in self._gateway.uplinks:
            letters = uplink.dead_letters()
            found.append(
                {
                    "of": uplink.describe()["name"],
                    "left_out": max(0, len(letters) - LETTERS_MAX),
                    "letters": [_letter(letter) for letter in letters[:LETTERS_MAX]],
                }
            )
        return found

    async def _ways(self, arguments: _Found, visitor: Visitor) -> list[_Found]:
        ledger = self._ledger()
        found: list[_Found] = ledger.recent(WAYS_MAX, text(arguments, "filter", ""))
        return found

    async def _way(self, arguments: _Found, visitor: Visitor) -> _Found:
        found: _Found | None = self._ledger().way(text(arguments, "key"))
        if found is None:
            raise ValueError("the ledger does not know this message, or not any more")
        return found

    def _ledger(self) -> Any:
        if self._gateway.ledger is None:
            raise ValueError("the gateway keeps no ledger: add a table [ledger] to its file")
        return self._gateway.ledger

    # -- to change

    async def _tail(self, arguments: _Found, visitor: Visitor) -> _Found:
        stream = self._streams.get(text(arguments, "stream"), visitor)
        if stream is None:
            raise ValueError("the page has lost its connection; it comes back by itself")
        topic_filter = text(arguments, "filter", "")
        stream.watch(topic_filter, None)
        if topic_filter:
            try:
                end = await self._topics.watch(topic_filter, visitor, _while_watched(stream, topic_filter))
            except ValueError:
                if stream.filter == topic_filter:
                    stream.watch("", None)
                raise
            _put(stream, topic_filter, end)
        return {"filter": stream.filter}

    async def _publish(self, arguments: _Found, visitor: Visitor) -> _Found:
        topic = text(arguments, "topic")
        qos = arguments.get("qos", 0)
        if type(qos) is not int or not 0 <= qos <= 2:
            raise ValueError("qos is 0, 1 or 2")
        written = text(arguments, "payload", "")
        payload = _bytes(written) if arguments.get("hex") else written.encode(errors="surrogatepass")
        if len(payload) > PAYLOAD_MAX:
            raise ValueError(f"the payload has {len(payload)} bytes; from here at most {PAYLOAD_MAX} can be sent")
        retain = bool(arguments.get("retain"))
        words = await self._topics.publish(topic, payload, qos, retain, visitor)
        audit(visitor.text, f"a message of {len(payload)} bytes published on {topic[:200]!a}, QoS {qos}")
        return {"words": words}

    async def _decide(self, arguments: _Found, visitor: Visitor) -> _Found:
        """Retry or drop a message that an upstream has refused; with `all`, each that is there now."""
        name, do, which = text(arguments, "of"), text(arguments, "do"), arguments.get("id")
        uplink = self._uplink(name)
        is_all = arguments.get("all") is True
        if do not in ("retry", "drop") or (type(which) is not int and not is_all):
            raise ValueError("say what to do, retry or drop, and the id of the message")
        numbers = [int(letter["id"]) for letter in uplink.dead_letters() if is_all or letter["id"] == which]
        if not numbers:
            raise ValueError("this message is not set aside any more")
        done, why = 0, ""
        for number in numbers:
            try:
                await self._do(uplink.retry(number) if do == "retry" else uplink.drop(number))
            except ValueError as error:
                if not is_all:
                    raise
                why = str(error)
                break
            done += 1
            if not done % SLICE:
                await asyncio.sleep(0)
        what = "tried again" if do == "retry" else "dropped"
        which = f"{done} messages" if is_all else f"message {which}"
        verb = "are" if is_all else "is"
        audit(visitor.text, f"{which} that upstream {name!a} had refused {verb} {what}")
        return {"words": f"{which} {verb} {what}" + (f"; then: {why}" if why else "")}

    async def _try_now(self, arguments: _Found, visitor: Visitor) -> _Found:
        """Connect an upstream at once, instead of waiting for the next attempt."""
        name = text(arguments, "of")
        try_now = getattr(self._uplink(name), "try_now", None)
        if try_now is None:
            raise ValueError("this upstream is looked for by itself, every few seconds")
        await self._do(try_now())
        return {"words": f"{name} is looked for now"}

    async def _do(self, done: object) -> None:
        if inspect.isawaitable(done):
            await asyncio.wait_for(done, UPLINK_S)

    def _uplink(self, name: str) -> "Uplink":
        for uplink in self._gateway.uplinks:
            if uplink.describe()["name"] == name:
                return uplink
        raise ValueError(f"there is no upstream {name[:80]!a}")

    # -- queues by name, of the broker inside

    async def _queues(self, arguments: _Found, visitor: Visitor) -> list[_Found]:
        broker = self._gateway.broker
        found = broker.engine.depot.describe() if broker else []
        return [dict(each) for each in found if each["kind"] == "queue" and not str(each["name"]).startswith("$")]

    async def _decide_queue(self, arguments: _Found, visitor: Visitor) -> _Found:
        """Retry or drop all dead messages of a queue."""
        broker, do = self._gateway.broker, text(arguments, "do")
        if broker is None or do not in ("retry-dead", "drop-dead"):
            raise ValueError("say what to do, retry-dead or drop-dead, and the name of the queue")
        action, _ = NamedActions(broker).actions[do]
        words = await action({"name": text(arguments, "name")}, visitor.text)
        if broker.store:
            await broker.store.commit()
        return {"words": words}


def _while_watched(stream: Stream, topic_filter: str) -> Show:
    """Shows what has come, from before the answer on, unless the stream looks at others by now."""

    def show(message: _Found) -> None:
        if stream.filter == topic_filter:
            stream.show(message)

    return show


def _put(stream: Stream, topic_filter: str, end: Callable[[], None]) -> None:
    """The stream looks at these topics, unless it has ended meanwhile or looks at others; what has come stays."""
    if stream.is_over or stream.filter != topic_filter or stream.watching:
        end()
    else:
        stream.watching = end


def _letter(letter: _Found) -> _Found:
    """As browsers are told of it: its payload as text or as bytes."""
    found = dict(letter)
    payload = found.pop("payload", b"")
    written = found.pop("hex", None)
    if written is not None:
        payload = bytes.fromhex(written)
    elif isinstance(payload, str):
        payload = payload.encode(errors="surrogateescape")
    size = found.get("bytes", len(payload))
    return {**found, **shown(payload), "bytes": size, "cut": size > min(len(payload), SHOWN_BYTES)}


def _bytes(written: str) -> bytes:
    """Hexadecimal numbers, with blanks as anybody likes."""
    try:
        return binascii.unhexlify("".join(written.split()))
    except (ValueError, UnicodeEncodeError):
        raise ValueError("the payload is not hexadecimal: write two digits for each byte, as 01 ff") from None
