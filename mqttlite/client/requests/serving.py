"""Requests are answered: `client.serve("square/+", function)`. Host only.

The answer to a repeated key is that which was given first, whether it was an error or not; a key that comes back with
another topic or payload is refused. Answers are kept for a day, in bounds (first_answers.py).
"""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...core.errors import ClosedError, MQTTError, ProtocolError, StoreError
from ...core.shown import shown
from ..arguments.checks import check_function
from ..first_answers import Answer, FirstAnswers
from ..subscriptions.distribution import log
from ..subscriptions.handlers import Caller, name_of
from .asking import AnswerError
from .envelope import Request, decode_request, encode_answer, words_of
from .typed import from_payload, to_payload

if TYPE_CHECKING:
    from ..comfort import ComfortableClient
    from ..messages import Message

USED = "the key was used for another request: its topic or its payload differs"
FAILED = "the request failed; the server's log says why"


class Server:
    """Answers with what a function returns."""

    def __init__(
        self,
        client: "ComfortableClient",
        function: Callable[..., Any],
        into: Callable[..., Any] | None,
        answers: FirstAnswers,
    ) -> None:
        check_function("function", function)
        self._client = client
        self._into = into
        self._answers = answers
        self._name = name_of(function)
        self._caller = Caller(function)

    async def handle(self, message: "Message") -> None:
        """Answer one request."""
        request = decode_request(message)
        answer = await self._first(message, request) if request.key else await self._call(message, request)
        if request.answer_topic:
            await send(self._client, message, request, answer)

    async def _first(self, message: "Message", request: Request) -> Answer:
        content = digest(message, request)
        answer = await self._answers.get(request.key)
        if answer is None:
            answer = await self._call(message, request)
            answer = Answer(content, answer.payload, answer.error)
            await self._answers.put(request.key, answer)
        return answer if answer.content == content else Answer(content, b"", USED)

    async def _call(self, message: "Message", request: Request) -> Answer:
        try:
            return Answer(b"", encoded(await self._result(message, request)))
        except Exception as error:
            return failed(self._client, self._name, message, error)

    async def _result(self, message: "Message", request: Request) -> Any:
        given = message.payload
        message.payload = request.payload
        try:
            if self._into is None:
                return await self._caller.call(message)
            return await self._caller.call(typed(request, self._into), message)
        finally:
            message.payload = given  # should it be tried again

    def close(self) -> None:
        """Nothing more is asked."""
        self._caller.close()


def typed(request: Request, into: Callable[..., Any]) -> Any:
    """The payload as the function wants it."""
    try:
        return from_payload(request.payload, into)
    except (ValueError, TypeError, KeyError) as error:
        raise AnswerError(f"the payload is no {getattr(into, '__name__', into)}: {error}") from error


def encoded(value: object) -> bytes:
    """The payload of an answer."""
    payload = to_payload(value)
    return payload.encode() if isinstance(payload, str) else payload


def digest(message: "Message", request: Request) -> bytes:
    """By which a request is known again."""
    topic = message.topic.encode()
    return hashlib.sha256(len(topic).to_bytes(2, "big") + topic + request.payload).digest()


def failed(client: "ComfortableClient", name: str, message: "Message", error: Exception) -> Answer:
    """The answer where there is none."""
    if isinstance(error, AnswerError):
        return refused(error)
    if isinstance(error, ClosedError | StoreError):  # of the client: the request is not handled, and comes again
        raise error
    where = f"{name}, at a request to '{shown(message.topic, 200)}'"
    log.error("%s: %s: %r", shown(client.client_id), where, error, exc_info=error)
    return Answer(b"", b"", FAILED)


def refused(error: "AnswerError") -> Answer:
    """The answer of a function that has raised one."""
    return Answer(b"", b"", words_of(str(error)) or FAILED)


async def send(client: "ComfortableClient", message: "Message", request: Request, answer: Answer) -> None:
    """Publish the answer, at the QoS of the request. Where it cannot, the log says why, and FAILED is sent."""
    for each in (answer, Answer(b"", b"", FAILED)):
        payload, properties = encode_answer(request, each.payload, each.error)
        if properties and not client._is_5():  # asked over 5.0, of a session that speaks 3.1.1 now
            properties = {}
        try:
            await client.publish(request.answer_topic, payload, message.qos, **properties)
        except (ClosedError, StoreError):
            raise
        except MQTTError as error:  # a topic that is none, or an answer that is too large
            log.error(
                "%s: the answer to a request to '%s' cannot be published: %s",
                shown(client.client_id),
                shown(message.topic, 200),
                error,
            )
            if not isinstance(error, ProtocolError):
                continue
        return
