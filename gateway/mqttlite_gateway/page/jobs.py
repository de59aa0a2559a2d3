"""Long commands that the page has run: `mqttlite flash`, `mqttlite update push`, each a process of its own, so that
nothing that it does can hurt the gateway. What it says (JSON lines, boards/report.py) is shown as it comes.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from mqttlite.broker.audit import audit

log = logging.getLogger("mqttlite.gateway")

JOBS_MAX = 2  # esptool and a rollout take memory and a processor
JOBS_KEPT = 10  # jobs that have ended, for whoever looks later
LINES_MAX = 200  # of what one says
TEXT_MAX = 1000  # characters of a line
LINE_BYTES = 1 << 16
STOP_S = 8.0  # from Ctrl-C to the end by force

COMMAND = (sys.executable, "-m", "mqttlite")
_PROGRAM = re.compile(r"^mqttlite \w+: ")
RUNNING, DONE, FAILED, STOPPED = "running", "done", "failed", "stopped"


@dataclass
class Job:
    """One command. `lines`: what it has said: event (step, note, result, error) and text. `about`: what it is done
    with, a port or a release: nothing else is done with that meanwhile.
    """

    number: int
    title: str
    about: str
    by: str
    began_at_s: float
    state: str = RUNNING
    ended_at_s: float | None = None
    progress: dict[str, Any] | None = None
    lines: deque[dict[str, str]] = field(default_factory=lambda: deque(maxlen=LINES_MAX))
    process: asyncio.subprocess.Process | None = None
    task: "asyncio.Task[None] | None" = None

    def describe(self) -> dict[str, Any]:
        """As browsers are told of it."""
        return {
            "number": self.number,
            "title": self.title,
            "about": self.about,
            "by": self.by.removeprefix("page (").removesuffix(")"),
            "began_at_ms": int(self.began_at_s * 1000),
            "took_s": None if self.ended_at_s is None else round(self.ended_at_s - self.began_at_s, 1),
            "state": self.state,
            "progress": self.progress,
            "lines": list(self.lines),
        }


class Jobs:
    """`changed` is called when one has said something. `command`: what the words of a job follow."""

    def __init__(self, changed: Callable[[], None], command: tuple[str, ...] = COMMAND) -> None:
        self._changed = changed
        self._command = command
        self._jobs: dict[int, Job] = {}
        self._last = 0

    def parts(self) -> dict[str, Any]:
        """What browsers are shown."""
        return {f"job/{job.number}": job.describe() for job in self._jobs.values()}

    def start(
        self,
        title: str,
        about: str,
        words: list[str],
        by: str,
        during: AbstractAsyncContextManager[object],
        environment: Mapping[str, str] | None = None,
    ) -> Job:
        """Run the command `words`, within `during`. ValueError: not now."""
        running = [job for job in self._jobs.values() if job.state == RUNNING]
        if any(job.about == about for job in running):
            raise ValueError(f"{about} is being worked on: wait for its end, or stop that")
        if len(running) >= JOBS_MAX:
            raise ValueError(f"{len(running)} are under way, and no more at once")
        self._last += 1
        job = self._jobs[self._last] = Job(self._last, title, about, by, time.time())
        job.task = asyncio.create_task(self._run(job, words, during, environment or {}), name=f"page: {title}")
        ended = [each for each in self._jobs.values() if each.state != RUNNING]
        for each in ended[: max(0, len(ended) - JOBS_KEPT)]:
            del self._jobs[each.number]
        audit(by, f"{title} begins")
        self._changed()
        return job

    async def stop(self, number: int, by: str) -> None:
        """Ctrl-C to it. ValueError: it has ended."""
        job = self._jobs.get(number)
        if job is None or job.state != RUNNING or job.task is None:
            raise ValueError("this has ended already")
        audit(by, f"{job.title} is stopped")
        await self._interrupt(job)

    async def close(self) -> None:
        """End all of them."""
        await asyncio.gather(*(self._interrupt(job) for job in self._jobs.values() if job.state == RUNNING))

    async def _interrupt(self, job: Job) -> None:
        assert job.task
        job.state = STOPPED
        if job.process is None:
            job.task.cancel()
        else:
            _signal(job.process, signal.SIGINT)
            await asyncio.wait([job.task], timeout=STOP_S)
            _signal(job.process, signal.SIGKILL)
        await asyncio.gather(job.task, return_exceptions=True)

    async def _run(
        self, job: Job, words: list[str], during: AbstractAsyncContextManager[object], environment: Mapping[str, str]
    ) -> None:
        state = FAILED
        try:
            async with during:
                process = job.process = await asyncio.create_subprocess_exec(
                    *self._command,
                    *words,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.STDOUT,
                    env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
                    limit=LINE_BYTES,
                    start_new_session=True,
                )
                try:
                    await self._listen(job, process)
                    if await process.wait() == 0:
                        state = DONE
                finally:
                    if process.returncode is None:
                        _signal(process, signal.SIGKILL)
                        await process.wait()
        except (OSError, ValueError) as error:
            self._said(job, {"event": "error", "text": str(error)})
        except Exception:  # a fault of ours
            log.exception("page: unexpected error in %s", job.title)
            self._said(job, {"event": "error", "text": "unexpected error; it is in the gateway's log"})
        finally:
            if job.state == RUNNING:
                job.state = state
            job.ended_at_s = time.time()
            job.progress = None
            audit(job.by, f"{job.title}: {job.state}")
            self._changed()

    async def _listen(self, job: Job, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # longer than anything that is meant to be read
                continue
            if not line:
                return
            found: Any = None
            with contextlib.suppress(ValueError):
                found = json.loads(line)
            if not isinstance(found, dict):
                text = line.decode(errors="replace").rstrip()
                found = {"event": "note", "text": _PROGRAM.sub("", text)}  # which is said once more for people
            self._said(job, found)

    def _said(self, job: Job, found: dict[str, Any]) -> None:
        event, text = str(found.get("event", "note"))[:20], str(found.get("text", ""))[:TEXT_MAX]
        if event == "progress":
            job.progress = {"what": text, "done": found.get("done", 0), "total": found.get("total", 0)}
        elif text:
            job.progress = None
            last = job.lines[-1] if job.lines else None
            if last is None or last["text"] != text:
                job.lines.append({"event": event, "text": text})
        self._changed()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """To it, and to what it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
