"""What `mqttlite rr` does: it subscribes to the topic of the answers, publishes the request, and prints what comes: on
standard output, but what says that it is an error (client/requests/envelope.py) on standard error.
"""

import argparse
import asyncio
import logging
import os
from typing import Any

from ...client import Client, Message
from ...client.requests.envelope import decode_answer
from .. import TIMED_OUT
from ..running import Retries, close_with, log_of, run_until_done, timed_out
from ..streams import say
from .publisher import open_input, payload_of
from .subscriber import Printer

log = logging.getLogger("mqttlite.rr")


def request(args: argparse.Namespace, options: dict[str, Any]) -> int:
    """Ask what `args` says with a client of these `options`; the exit code."""
    requester = Requester(args, options, log_of(args, "rr"))
    fd = open_input(args)
    return run_until_done(lambda: requester.run(fd))


class Requester:
    """One run of `rr`."""

    def __init__(self, args: argparse.Namespace, options: dict[str, Any], retries: Retries) -> None:
        self._args = args
        self._client = Client(**options, on_connection=retries.on_connection)
        self._is_unanswered = True
        self._printer = Printer(args)
        self._correlation: bytes | None = None  # of this request; None: 3.1.1
        self._answers = 0
        self._errors = 0  # among them

    async def run(self, fd: int) -> int:
        """Ask and print until there is a reason to stop."""
        payload = await payload_of(self._args, fd)
        try:
            async with asyncio.timeout(self._args.timeout_s) as limit, self._client as client:
                self._is_unanswered = False
                await self._ask(client, payload)
                await self._print(client)
                await close_with(client, self._args)
        except TimeoutError:
            if not limit.expired():
                raise
            if self._answers and not self._args.count:
                return self._code()
            answers = f"{self._answers or 'no'} answer{'s' if self._answers != 1 else ''}"
            what = f"; {answers} to the request to '{self._args.topic}'"
            say(f"mqttlite rr: {timed_out(self._client, self._is_unanswered, what)}")
            return TIMED_OUT
        return self._code()

    def _code(self) -> int:
        """The exit code, when all has been answered."""
        return 1 if self._errors else 0

    async def _ask(self, client: Client, payload: bytes) -> None:
        args = self._args
        answers = args.response_topic or f"{client.client_id}/answers"
        await client.subscribe(answers, args.qos, **args.properties["subscribe"])
        log.debug("answers go to '%s'", answers)
        properties = dict(args.properties["publish"])
        if args.protocol_version == "5.0":
            properties["response_topic"] = answers
            self._correlation = properties.setdefault("correlation_data", os.urandom(8))
        receipt = await client.publish(args.topic, payload, args.qos, **properties)
        await receipt
        log.debug("the request has been published")

    async def _print(self, client: Client) -> None:
        args = self._args
        async for message in client:
            if (args.no_retained and message.retain) or not self._is_answer(message):
                log.debug("not an answer to this request: %s", message)
            elif error := decode_answer(message)[2]:
                say(f"mqttlite rr: the answer is an error: {error}")
                self._errors += 1
                self._answers += 1
            elif await self._printer.show(message):
                self._answers += 1
            if self._answers and self._answers == args.count:
                return

    def _is_answer(self, message: Message) -> bool:
        if self._correlation is None:
            return True
        return message.correlation_data in (b"", self._correlation)
