"""Requests are answered in the inbox's transaction: what the function writes, its answer and the receipt commit
together, and a repeated key gets the answer that was given first. See Inbox.serve. Host only.
"""

import inspect
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ..client.arguments.checks import check_function
from ..client.first_answers import KEEP_S, Answer
from ..client.requests.asking import AnswerError
from ..client.requests.envelope import decode_request
from ..client.requests.serving import USED, digest, encoded, refused, send, typed

if TYPE_CHECKING:
    from ..client.messages import Message
    from .inbox import Inbox

CLEAR_EACH = 1000  # answers, between two looks for those that are too old


class Answering:
    """The handler of an inbox that serves, and what is done when it has committed."""

    def __init__(self, inbox: "Inbox", function: Callable[..., Any], into: Callable[..., Any] | None) -> None:
        check_function("function", function)
        self._inbox = inbox
        self._execute = inbox.database.execute
        self.function = function
        self._into = into
        self._answers: WeakKeyDictionary[Message, Answer] = WeakKeyDictionary()  # to messages that are being handled
        self._until_cleared = 0

    async def handle(self, db: Any, message: "Message") -> None:
        """In the transaction: answer the request."""
        request = decode_request(message)
        if not request.key:
            self._answers[message] = await self._call(db, message)
            return
        content = digest(message, request)
        answer = await self._first(db, request.key)
        if answer is None:
            answer = await self._call(db, message)
            answer = Answer(content, answer.payload, answer.error)
            await self._keep(db, request.key, answer)
        self._answers[message] = answer if answer.content == content else Answer(content, b"", USED)

    async def committed(self, message: "Message") -> None:
        """Behind the transaction, and for a message that was handled in an earlier life: publish the answer."""
        request = decode_request(message)
        answer = self._answers.pop(message, None)
        if answer is None and request.key:
            answer = await self._inbox.database.insist(lambda: self._look_up(request.key))
        if answer and request.answer_topic:
            await send(self._inbox.client, message, request, answer)

    async def _call(self, db: Any, message: "Message") -> Answer:
        request = decode_request(message)
        given = message.payload
        try:
            message.payload = request.payload
            async with self._inbox.database.savepoint(db, AnswerError):
                values = (message,) if self._into is None else (typed(request, self._into), message)
                thread = self._inbox._thread
                result = await thread.call(self.function, db, *values) if thread else self.function(db, *values)
                if inspect.isawaitable(result):
                    result = await result
            return Answer(b"", encoded(result))
        except AnswerError as error:  # is an answer; what was written before it is undone
            return refused(error)
        finally:
            message.payload = given

    async def _look_up(self, key: str) -> Answer | None:
        async with self._inbox.database.transaction() as db:
            return await self._first(db, key)

    async def _first(self, db: Any, key: str) -> Answer | None:
        rows = await self._execute(
            db,
            "SELECT content, payload, error FROM mqttlite_answers WHERE inbox = ? AND request = ? AND time > ?",
            self._inbox.name,
            key,
            time.time() - KEEP_S,
        )
        return Answer(*rows[0]) if rows else None

    async def _keep(self, db: Any, key: str, answer: Answer) -> None:
        if not self._until_cleared:
            self._until_cleared = CLEAR_EACH
            old = "DELETE FROM mqttlite_answers WHERE inbox = ? AND time <= ?"
            await self._execute(db, old, self._inbox.name, time.time() - KEEP_S)
        self._until_cleared -= 1
        await self._execute(
            db,
            "INSERT INTO mqttlite_answers (inbox, request, content, payload, error, time) VALUES (?, ?, ?, ?, ?, ?)",
            self._inbox.name,
            key,
            answer.content,
            answer.payload,
            answer.error,
            time.time(),
        )
