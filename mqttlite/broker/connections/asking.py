"""Awaits what CONNECT packets wait for (access/pending.py). Imports engine, access.

An answer whose connection has ended is cancelled. Whatever goes wrong with one refuses its client, and no other.
"""

import asyncio
import logging
from collections.abc import Callable

from ...core.reason_codes import UNAVAILABLE
from ..access.authentication import Refusal
from ..access.identity import Identity
from ..access.pending import Question
from ..engine import Engine

log = logging.getLogger("mqttlite.broker")


class Asking:
    """`start` after each call of the engine. `now_ms`: the time as the engine is told it; `changed`: called after the
    engine has been.
    """

    def __init__(self, engine: Engine, now_ms: Callable[[], int], changed: Callable[[], None]) -> None:
        self._engine = engine
        self._now_ms = now_ms
        self._changed = changed
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Ask what may be asked now."""
        pending = self._engine.pending
        while question := pending.take():
            task = asyncio.get_running_loop().create_task(self._ask(question))
            question.cancel = task.cancel
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, question: Question) -> None:
        answer: Identity | Refusal = Refusal(UNAVAILABLE, "its question was cancelled")
        try:
            answer = await question.ask()
        except Refusal as refusal:
            answer = refusal
        except Exception:
            log.exception("unexpected error while asking who %s is", question.peer.address)
            answer = Refusal(UNAVAILABLE, "unexpected error")
        finally:
            self._engine.answered(question, answer, self._now_ms())
            if self._engine.pending.waiting:
                self.start()
            self._changed()

    async def stop(self) -> None:
        """Cancel all."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
