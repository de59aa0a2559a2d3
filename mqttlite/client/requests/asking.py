"""Requests of a client: a message is published, and the answer to it comes back. Host only."""

import asyncio
import math
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ...core.errors import ClosedError, MQTTError
from ..arguments.checks import check_seconds, wrong_type
from ..messages import Message
from .envelope import KEY_MAX, decode_answer, encode_request
from .typed import from_payload, to_payload

if TYPE_CHECKING:
    from ..comfort import ComfortableClient

ANSWERS = "mqttlite/answers/"  # in front of the client identifier: where answers arrive


class AnswerError(MQTTError):
    """A request was answered with an error, in these words; raised by a function that serves, they are the answer."""


class Requests:
    """Those of one client that wait for their answers."""

    def __init__(self, client: "ComfortableClient") -> None:
        self._client = client
        self._waiting: dict[bytes, asyncio.Future[tuple[Message, str]]] = {}
        self._ready: asyncio.Future[None] | None = None  # answers can arrive
        self.topic = ANSWERS + quote(client.client_id, safe="")
        self.late = 0  # answers for which nobody waits any more

    async def ask(
        self,
        topic: str,
        payload: object,
        qos: int,
        timeout_s: float,
        key: str | None,
        into: Callable[..., Any] | None,
        options: dict[str, Any],
    ) -> Any:
        """See Client.request."""
        check_seconds("timeout_s", timeout_s)
        check_key(key)
        for name in ("response_topic", "correlation_data"):
            if name in options:
                raise TypeError(f"request() says {name} itself; leave it out, or use publish() and subscription()")
        data = to_payload(payload)
        if isinstance(data, str):
            data = data.encode()
        client = self._client
        is_5 = client._is_5()
        id = secrets.token_hex(8)
        data, properties = encode_request(is_5, self.topic, id, key or "", data)
        if is_5:
            properties["expires_after_s"] = math.ceil(timeout_s)
            more = options.pop("user_properties", None)
            if more is not None:
                pairs = more.items() if hasattr(more, "items") else more
                properties["user_properties"] = [*properties.get("user_properties", ()), *pairs]
        properties.update(options)
        waiting: asyncio.Future[tuple[Message, str]] = asyncio.get_running_loop().create_future()
        self._waiting[id.encode()] = waiting
        seq = -1
        try:
            async with asyncio.timeout(timeout_s):
                await self._begin()
                seq = (await client.publish(topic, data, qos, **properties)).seq
                message, error = await waiting
        except TimeoutError:
            raise TimeoutError(f"no answer to the request to '{topic}' within {timeout_s} s") from None
        finally:
            del self._waiting[id.encode()]
            waiting.cancel()
            if seq in client._outgoing.receipts:  # nobody waits any more: it need not be sent, if it has not been
                client._in_background(client.settle(seq))
        if error:
            raise AnswerError(error)
        return message if into is None else from_payload(message.payload, into)

    async def _begin(self) -> None:
        """Return when answers can arrive."""
        if self._ready is None or (self._ready.done() and self._ready.exception()):
            self._ready = asyncio.get_running_loop().create_future()
            self._client._in_background(self._read(self._ready))
        await asyncio.shield(self._ready)

    async def _read(self, ready: "asyncio.Future[None]") -> None:
        end: BaseException = ClosedError("the client is closed")
        try:
            async with self._client.subscription(self.topic, 1, unsubscribe=False) as messages:
                ready.set_result(None)
                async for message in messages:
                    id, payload, error = decode_answer(message)
                    waiting = self._waiting.get(id)
                    if waiting and not waiting.done():
                        message.payload = payload
                        waiting.set_result((message, error))
                    else:
                        self.late += 1
        except BaseException as error:
            end = error if isinstance(error, MQTTError) else end
            raise
        finally:
            if not ready.done():
                ready.set_exception(end)
                ready.exception()  # it is no fault if nobody waits
            self._ready = None
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(self._client._life.error or end)


def check_key(key: object) -> None:
    """What tells repeats of a request from others."""
    if key is None:
        return
    if not isinstance(key, str):
        raise wrong_type("key", "str, as in key='order-17'", key)
    if not 0 < len(key) <= KEY_MAX or not key.isprintable():
        raise ValueError(f"key must have 1 to {KEY_MAX} printable characters, not {key!r:.60}")
