"""What `mqttlite sub` does: it subscribes and prints messages as they come.

Each message is written before it is acknowledged, without waiting for the next one, and payloads go out as they came. A
reader that pauses (`| less`) holds the messages back at the broker while the connection is kept alive.
"""

import argparse
import asyncio
import logging
import os
import select
from typing import Any

from ...client import Client, Message
from ...core.errors import SubscribeError
from ...core.matching import matches
from ...core.reasons import plain
from .. import TIMED_OUT
from ..running import Retries, close_with, log_of, run_until_done, timed_out
from ..streams import say
from .output_format import compile_format

SLICE = select.PIPE_BUF  # bytes that a pipe takes without blocking when it says it is writable

log = logging.getLogger("mqttlite.sub")


def subscribe(args: argparse.Namespace, options: dict[str, Any]) -> int:
    """Subscribe to what `args` says with a client of these `options`, and print; the exit code."""
    return run_until_done(Subscriber(args, options, log_of(args, "sub")).run, terminated=0)


class Subscriber:
    """One run of `sub`."""

    def __init__(self, args: argparse.Namespace, options: dict[str, Any], retries: Retries) -> None:
        self._args = args
        self._client = Client(**options, on_connection=retries.on_connection)
        self._is_unanswered = True
        self._hidden = [topic_filter.encode() for topic_filter in args.filter_out]
        self._printer = Printer(args)
        self._removed: set[str] = set()  # topics of retained messages that this run has ended

    async def run(self) -> int:
        """Subscribe and print until there is a reason to stop."""
        try:
            async with asyncio.timeout(self._args.timeout_s) as limit, self._client as client:
                self._is_unanswered = False
                log.debug("connected as %s, session present: %s", client.client_id, client.session_present)
                for topic_filter in self._args.unsubscribe:
                    await client.unsubscribe(topic_filter, **self._args.properties["unsubscribe"])
                    log.debug("unsubscribed from '%s'", topic_filter)
                if self._args.only_subscribe:
                    await self._subscribe()
                    await close_with(client, self._args)
                    return 0
                printing = asyncio.create_task(self._print())  # beside: the first answer can be thousands of messages
                try:
                    await self._subscribe()
                    await printing
                finally:
                    printing.cancel()
                    await asyncio.wait((printing,))
                await close_with(client, self._args)
        except TimeoutError:
            if not limit.expired():
                raise
            say(f"mqttlite sub: {timed_out(self._client, self._is_unanswered)}")
            return TIMED_OUT
        finally:
            if self._client.qos0_dropped:
                log.warning(
                    "%d QoS 0 messages came faster than they could be printed and were dropped",
                    self._client.qos0_dropped,
                )
        return 0

    async def _subscribe(self) -> None:
        """Subscribe to everything. What the broker refuses is reported; if it refuses all, that is an error."""
        topics: list[str] = self._args.topic
        options = self._args.properties["subscribe"]
        asked = (self._client.subscribe(topic_filter, self._args.qos, **options) for topic_filter in topics)
        refused = 0
        for topic_filter, answer in zip(topics, await asyncio.gather(*asked, return_exceptions=True), strict=True):
            if isinstance(answer, SubscribeError):
                refused += 1  # the client has logged which, and with which code
                if answer.reason_string:
                    log.warning("'%s': the broker says: %s", topic_filter, plain(answer.reason_string.encode()))
            elif isinstance(answer, BaseException):
                raise answer
            else:
                log.debug("subscribed to '%s' with QoS %d", topic_filter, answer)
        if topics and refused == len(topics):
            raise SubscribeError(
                "the broker refused all subscriptions: this user may not read there, perhaps; its log says why"
            )

    async def _print(self) -> None:
        args = self._args
        left = args.count
        async for message in self._client:
            if args.retained_only and not message.payload and message.topic in self._removed:
                continue  # what this run has published itself, among retained messages that are still to come
            if args.retained_only and not message.retain:
                return
            if self._is_hidden(message):
                continue
            if args.remove_retained and message.retain and message.payload:
                self._removed.add(message.topic)
                await self._client.publish(message.topic, b"", 1, True)
            if args.no_retained and message.retain:
                continue
            if await self._printer.show(message) and left:
                left -= 1
                if not left:
                    return

    def _is_hidden(self, message: Message) -> bool:
        return bool(self._hidden) and any(matches(hidden, message.topic.encode()) for hidden in self._hidden)


class Printer:
    """Prints messages as the arguments say."""

    def __init__(self, args: argparse.Namespace) -> None:
        form = args.format if args.format is not None else "%t %p" if args.verbose else "%p"
        self._format = compile_format(form, escaped=not args.raw and os.isatty(1))
        self._end = b"" if args.no_newline else b"\n"

    async def show(self, message: Message) -> bool:
        """Print it; False, and a line of the log, if it has no such form."""
        try:
            line = self._format(message)
        except ValueError as error:
            log.error("%s", error)
            return False
        await _write(line + self._end)
        return True


async def _write(data: bytes, fd: int = 1) -> None:
    """Write all of `data` without ever blocking: a terminal or pipe that is full must not stop the keep-alive."""
    state = select.poll()
    state.register(fd, select.POLLOUT)
    view = memoryview(data)
    while view:
        if state.poll(0):
            view = view[os.write(fd, view[:SLICE]) :]
        else:
            await _writable(fd)


async def _writable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(fd)
