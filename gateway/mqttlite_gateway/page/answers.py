"""What the page's scripts ask for, and have done: JSON in, JSON out. What is wrong with a request is a sentence.

Each change is a line of the audit, with who has made it.
"""

import asyncio
import binascii
import inspect
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from mqttlite.broker.audit import audit
from mqttlite.core.errors import MQTTError

from .arguments import text
from .collect import Collector
from .door import Door, refused
from .parts import as_json
from .payload import SHOWN_BYTES, shown
from .people import Visitor
from .streams import Stream, Streams
from .topics import PAYLOAD_MAX, Topics

if TYPE_CHECKING:
    from ..gateway import Gateway

WAYS_MAX = 200  # messages of the ledger in one answer
LETTERS_MAX = 500  # dead letters of one upstream in one answer

_Found = dict[str, Any]
Action = Callable[[_Found, Visitor], Awaitable[Any]]


class Answers:
    """`looks`: by path, for GET; `acts`: for POST. Each is given the request's arguments and who asks."""

    def __init__(self, gateway: "Gateway", collector: Collector, streams: Streams, topics: Topics, door: Door) -> None:
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
            "/api/ways": self._ways,
            "/api/way": self._way,
        }
        self.acts: dict[str, Action] = {
            "/api/tail": self._tail,
            "/api/publish": self._publish,
            "/api/set-aside": self._decide,
        }

    async def look(self, request: web.Request) -> web.Response:
        """Answer a GET."""
        return await self._answer(self.looks, dict(request.query), request)

    async def act(self, request: web.Request) -> web.Response:
        """Answer a POST."""
        try:
            arguments = json.loads(await request.text())
        except (ValueError, RecursionError):
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
                end = await self._topics.watch(topic_filter, visitor, stream.show)
            except ValueError:
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
        """Retry or drop a message that an upstream has refused."""
        name, do, which = text(arguments, "of"), text(arguments, "do"), arguments.get("id")
        uplink = next((each for each in self._gateway.uplinks if each.describe()["name"] == name), None)
        if uplink is None:
            raise ValueError(f"there is no upstream {name[:80]!a}")
        if do not in ("retry", "drop") or type(which) is not int:
            raise ValueError("say what to do, retry or drop, and the id of the message")
        if not any(letter.get("id") == which for letter in uplink.dead_letters()):
            raise ValueError("this message is not set aside any more")
        done = uplink.retry(which) if do == "retry" else uplink.drop(which)
        if inspect.isawaitable(done):
            await asyncio.wait_for(done, 30)
        what = "tried again" if do == "retry" else "dropped"
        audit(visitor.text, f"message {which} that upstream {name!a} had refused is {what}")
        return {"words": f"message {which} is {what}"}


def _put(stream: Stream, topic_filter: str, end: Callable[[], None]) -> None:
    """The stream looks at these topics, unless it has ended meanwhile."""
    if stream.is_over:
        end()
    else:
        stream.watch(topic_filter, end)


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
