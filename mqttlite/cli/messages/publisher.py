"""What `mqttlite pub` does.

It ends when the broker has confirmed everything, however often the connection is lost meanwhile. Memory is bounded
whatever the input's length: a publish waits while the client's queue is full.
"""

import argparse
import asyncio
import logging
import os
import stat
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from ...client import Client, Receipt
from ...client.connecting.unreachable import where
from ...core.codec import REMAINING_MAX
from ...core.errors import ClosedError, MQTTError, SetAsideError, StreamError
from ...core.sizes import PACKET_MAX
from .. import TIMED_OUT
from ..running import Retries, close_with, log_of, run_until_done, timed_out
from ..streams import say

READ_SIZE = 65536  # bytes of standard input read at once
STREAMED_FROM = 256 * 1024  # bytes of a file from which on it is published in pieces
RECEIPTS_MAX = 1000  # messages accepted and not confirmed, as the client has it
LATE_S = 0.1  # that --rate makes good for, after a pause of the input or of the processor

log = logging.getLogger("mqttlite.pub")


def publish(args: argparse.Namespace, options: dict[str, Any]) -> int:
    """Publish what `args` says with a client of these `options`; the exit code."""
    publisher = Publisher(args, options, log_of(args, "pub"))
    fd = open_input(args)
    return run_until_done(lambda: publisher.run(fd))


def open_input(args: argparse.Namespace) -> int:
    """The descriptor from which the payload is read: of a file, or of standard input."""
    # A FIFO is open when somebody writes to it: until then nothing else is here, and signals end the program.
    fd = 0
    if args.file is not None:
        log.debug("opening '%s'", args.file)
        fd = os.open(args.file, os.O_RDONLY)
    if fd and stat.S_ISDIR(os.fstat(fd).st_mode):
        raise ValueError(f"'{args.file}' is a folder")
    return fd


class Publisher:
    """One run of `pub`."""

    def __init__(self, args: argparse.Namespace, options: dict[str, Any], retries: Retries) -> None:
        self._args = args
        self._retries = retries
        self._client = Client(**options, on_connection=self._on_connection)
        self._connected = asyncio.Event()
        self._is_unanswered = False  # it has asked for its first connection
        self._receipts: deque[Receipt] = deque()  # in order; finished ones are taken off from the left
        self._accepted = 0
        self._failed = 0
        self._blank = 0
        self._unheard = False  # the broker may not have read what was published at QoS 0
        self._perhaps_lost = ""  # why what was published at QoS 0 may be lost
        self._due = 0.0  # when the next message may leave, with --rate

    def _on_connection(self, connected: bool, reason: str) -> None:
        self._retries.on_connection(connected, reason)
        if connected:
            self._is_unanswered = False
            self._connected.set()
        else:
            self._connected.clear()
            if self._unheard:
                self._perhaps_lost = reason

    async def run(self, fd: int) -> int:
        """Publish what `fd` has, if the arguments name no payload, and wait for every confirmation."""
        try:
            async with asyncio.timeout(self._args.timeout_s) as limit:
                return await self._run(fd)
        except TimeoutError:
            if not limit.expired():
                raise
            left = self._unconfirmed()
            again = "; the next run with this --store sends them again" if left and self._args.store else ""
            what = f"; {self._accepted} messages were published, {left} of them not confirmed{again}"
            say(f"mqttlite pub: {timed_out(self._client, self._is_unanswered, what)}")
            return TIMED_OUT

    async def _run(self, fd: int) -> int:
        args = self._args
        size = streamed_size(args, fd)
        payload = b"" if args.stdin_line or size else await payload_of(args, fd)
        self._is_unanswered = True
        async with self._client as client:
            log.debug("connected to %s as %s", where(client.url), client.client_id)
            self._go_on()
            if args.stdin_line:
                await self._publish_lines(fd)
            else:
                for number in range(args.repeat or 1):
                    if number and args.repeat_delay:
                        await self._settle(0)
                        await asyncio.sleep(args.repeat_delay)
                    if size:
                        await self._publish_file(fd, size)
                    else:
                        await self._publish(payload)
            await self._settle(0)
            if self._unheard and not await client.heard():
                self._perhaps_lost = self._perhaps_lost or "the broker has not answered any more"
            self._unheard = False  # what ends the connection from here on, is us
            await close_with(client, args)
        log.debug("%d accepted, %d in doubt or lost", self._accepted, self._failed)
        if self._blank:
            log.warning("%d empty lines not published: they would end the retained message; -n does that", self._blank)
        if client.qos0_dropped:
            say(f"mqttlite pub: {client.qos0_dropped} QoS 0 messages were dropped, there was no connection")
        if self._perhaps_lost:
            say(
                f"mqttlite pub: {self._perhaps_lost}; what was published at QoS 0 right before, to "
                f"'{args.topic}', may be lost: -q 1 or 2 tells"
            )
        return 1 if self._failed or client.qos0_dropped or self._perhaps_lost else 0

    def _go_on(self) -> None:
        """With a store: what an earlier run has left is waited for, too."""
        if self._args.store is None:
            return
        left = self._client.pending()
        waiting = [message.seq for message in left if message.state in ("accepted", "released")]
        self._receipts.extend(self._client.receipt(seq) for seq in waiting)
        if waiting:
            log.warning("%d messages of an earlier run are sent first", len(waiting))
        if len(left) > len(waiting):
            log.warning(
                "%d messages of an earlier run are in doubt or were refused: 'mqttlite store show %s' lists them",
                len(left) - len(waiting),
                self._args.store,
            )

    async def _publish_lines(self, fd: int) -> None:
        """What one read has brought shares a commit, if there is a store."""
        from ..showing.progress import Progress

        progress = Progress(fd)
        read = 0
        try:
            async for lines in _lines(fd):
                for line in lines:
                    read += len(line) + 1
                    if line or not self._args.retain:
                        await self._publish(line)
                    else:
                        self._blank += 1
                    progress.show(read, self._accepted, self._unconfirmed())
                await self._client.stored()
        finally:
            progress.end()

    def _unconfirmed(self) -> int:
        return self._client.unconfirmed()

    async def _publish(self, payload: bytes) -> None:
        args = self._args
        if args.rate:
            self._due = self._due or time.monotonic()  # there is no pause before the first one
            if (early_s := self._due - time.monotonic()) > 0:
                await asyncio.sleep(early_s)
            self._due = max(self._due, time.monotonic() - LATE_S) + 1 / args.rate
        if not args.qos:
            await self._connected.wait()  # rather than have it dropped
        accept = self._client.enqueue if args.stdin_line else self._client.publish
        receipt = await accept(args.topic, payload, args.qos, args.retain, **args.properties["publish"])
        self._accepted += 1
        self._unheard = not args.qos
        if receipt.seq >= 0:
            self._receipts.append(receipt)
            await self._settle(RECEIPTS_MAX)

    async def _publish_file(self, fd: int, size: int) -> None:
        """In pieces, and confirmed when this returns."""
        args = self._args
        if not args.qos:
            await self._connected.wait()
        with os.fdopen(os.dup(fd), "rb") as file:
            file.seek(0)
            log.debug("publishing %d bytes of '%s' in pieces", size, args.file)
            try:
                await self._client.publish_stream(
                    args.topic, file, size, args.qos, args.retain, **args.properties["publish"]
                )
            except (ClosedError, SetAsideError, StreamError) as error:
                say(f"mqttlite pub: {error}")
                self._failed += 1
            self._accepted += 1
            self._unheard = not args.qos

    async def _settle(self, most: int) -> None:
        """Take off the receipts that are done, and wait until at most `most` are left."""
        receipts = self._receipts
        while receipts and (receipts[0].done or len(receipts) > most):
            try:
                await receipts[0].completed()
            except MQTTError as error:
                if isinstance(error, ClosedError):  # of all others the client has told
                    say(f"mqttlite pub: {error}")
                self._failed += 1
            receipts.popleft()


def streamed_size(args: argparse.Namespace, fd: int) -> int:
    """Of a file that is published in pieces; 0: it is not. What a store has to keep is not, nor what expires."""
    if args.file is None or args.store is not None or args.properties["publish"].get("expires_after_s"):
        return 0
    found = os.fstat(fd)
    # One that is larger than a --max-packet that was given is refused, as any other message.
    least = STREAMED_FROM if args.max_packet in (PACKET_MAX, REMAINING_MAX) else REMAINING_MAX
    return found.st_size if stat.S_ISREG(found.st_mode) and found.st_size > least else 0


async def payload_of(args: argparse.Namespace, fd: int) -> bytes:
    """The message. ValueError for an input without a byte: rather a program that failed than an empty message, which
    with -r deletes what is retained.
    """
    if args.message is not None:
        return os.fsencode(args.message)
    if args.null_message:
        return b""
    name = "standard input" if args.stdin_file else f"'{args.file}'"
    log.debug("reading %s to its end", name)
    payload = await _all(fd)
    if not payload:
        raise ValueError(f"{name} is empty; to publish an empty message use -n")
    return payload


async def _all(fd: int) -> bytes:
    """All that `fd` has, until its end; or more than a message can hold."""
    pieces = []
    size = 0
    while size <= REMAINING_MAX and (data := await _read(fd)):
        pieces.append(data)
        size += len(data)
    return b"".join(pieces)


async def _lines(fd: int) -> AsyncIterator[list[bytes]]:
    """The lines of `fd` as they come, those of a read together, without their newlines; an end without newline is a
    line, too.
    """
    rest = b""
    while data := await _read(fd):
        first, *more = data.split(b"\n")
        if more:
            yield [rest + first, *more[:-1]]
            rest = more[-1]
        else:
            rest += first
    if rest:
        yield [rest]


async def _read(fd: int) -> bytes:
    """What `fd` has, b"" at its end. Not in non-blocking mode: the shell shares the descriptor."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(fd, ready.set)
    except PermissionError:  # a file, which is always ready
        return os.read(fd, READ_SIZE)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
    return os.read(fd, READ_SIZE)
