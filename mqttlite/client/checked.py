"""A client that checks how it is used: arguments first (checks.py), and that it is started, once, in one event loop.

CPython only; on a board the room for this is missing, and what is wrong there shows later.
"""

import asyncio
import os
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from ..core.text import to_utf8
from .base import BaseClient
from .checks import check_message, check_number, check_seconds, check_subscription, encoded, wrong_type
from .messages import Message, Receipt


class CheckedClient(BaseClient):
    """See BaseClient. Everything that needs a connection raises RuntimeError before `start` (or `async with`), and in
    another event loop than the one in which the client was started.
    """

    _loop: asyncio.AbstractEventLoop | None = None  # in which it was started
    _start: asyncio.Lock

    if not TYPE_CHECKING:  # for a type checker the arguments are BaseClient's

        def __init__(self, url, **options):
            from .checks import check_client

            check_client(url, options)
            if isinstance(options.get("store"), os.PathLike):
                options["store"] = os.fspath(options["store"])
            super().__init__(url, **options)
            self._start = asyncio.Lock()  # a store is opened once, whoever starts the client

    async def start(self) -> None:
        """As BaseClient's. RuntimeError in another event loop than before."""
        if self._loop is not None:
            self._check_use()
        self._loop = asyncio.get_running_loop()
        async with self._start:
            await super().start()

    def _checked(self, topic: str, payload: bytes | str, qos: int, retain: bool, key: object) -> bytes:
        # Each message comes by here: the common case first.
        if not (type(topic) is str and type(qos) is int and 0 <= qos <= 2 and type(retain) is bool and key is None):
            check_message(topic, payload, qos, retain, key)
        if self._loop is not asyncio.get_running_loop():
            self._check_use()
        if not topic.isascii():
            to_utf8(topic, "topic name")  # a surrogate
        if type(payload) is bytes:
            return payload
        if type(payload) is str:
            return payload.encode() if payload.isascii() else encoded("payload", payload)
        check_message(topic, payload, qos, retain, key)
        return encoded("payload", payload) if isinstance(payload, str) else bytes(payload)

    async def subscribe(self, topic_filter: str, qos: int = 2) -> int:
        """As BaseClient's. TypeError or ValueError for an argument of the wrong type or out of range."""
        check_subscription(topic_filter, qos)
        self._check_use()
        return await super().subscribe(topic_filter, qos)

    async def unsubscribe(self, topic_filter: str) -> None:
        """As BaseClient's. TypeError for another type than str."""
        check_subscription(topic_filter)
        self._check_use()
        await super().unsubscribe(topic_filter)

    def __anext__(self) -> Coroutine[Any, Any, Message]:
        if self._loop is not asyncio.get_running_loop():
            self._check_use()
        return BaseClient.__anext__(self)

    async def drain(self, timeout_s: float = 10) -> bool:
        """As BaseClient's. TypeError or ValueError unless `timeout_s` is a number above 0."""
        check_seconds("timeout_s", timeout_s)
        self._check_use()
        return await super().drain(timeout_s)

    async def stored(self) -> None:
        """As BaseClient's."""
        self._check_use()
        await super().stored()

    def receipt(self, seq: int) -> Receipt:
        """As BaseClient's. TypeError unless `seq` is a whole number, ValueError for one that no message has had yet."""
        check_number("seq", seq, -1)
        if seq >= self._protocol.session.next:
            raise ValueError(f"seq must be the number of a message that was accepted, not {seq}")
        return super().receipt(seq)

    def acknowledge(self, message: Message) -> None:
        """As BaseClient's. TypeError unless `message` is one that the client has given out."""
        if not isinstance(message, Message):
            raise wrong_type("message", "one that the client has given out", message)
        super().acknowledge(message)

    async def retry(self, seq: int) -> Receipt:
        """As BaseClient's. TypeError unless `seq` is a whole number."""
        check_number("seq", seq, 0)
        self._check_use()
        return await super().retry(seq)

    async def settle(self, seq: int) -> None:
        """As BaseClient's. TypeError unless `seq` is a whole number."""
        check_number("seq", seq, 0)
        self._check_use()
        await super().settle(seq)

    async def close(self) -> None:
        """As BaseClient's. RuntimeError in another event loop."""
        if self._loop is not None:
            self._check_use()
        await super().close()

    def _check_use(self) -> None:
        """RuntimeError unless the client is started, here."""
        if self._loop is None:
            if self._error is None:
                raise RuntimeError(
                    "the client is not started: write 'async with Client(...) as client:', or first await its start()"
                )
        elif self._loop is not asyncio.get_running_loop():
            raise RuntimeError(
                "the client was started in another event loop (another asyncio.run, perhaps); each needs its own client"
            )
