"""The control socket: how `mqttlite ctl` and `mqttlite top` reach a broker that runs. A Unix socket of its user alone.

One JSON object in a line is a request, one in a line the answer, as often as the client likes:

    {"do": "show", "client": "kitchen"}
    {"ok": true, "found": {"client": "kitchen", "address": "192.168.1.7:40302", ...}}
    {"ok": false, "error": "there is no client 'kitchen'"}

What can be asked stands in actions.py. Whoever may open the socket may do all of it: its mode is 0600, so that is the
broker's own user, and root. Imports actions, callers.
"""

import asyncio
import contextlib
import json
import logging
import os
import pwd
import socket
import stat
import struct
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..connections.turns import now_ms
from .actions import SLICE, Action, Actions, Reload
from .callers import Callers
from .control_path import is_answered
from .loop_watch import LoopWatch

if TYPE_CHECKING:
    from ..server import Broker

log = logging.getLogger("mqttlite.broker")

REQUEST_MAX = 64 << 10  # bytes of a line
PATH_MAX = 107  # bytes of the path of a Unix socket
CLIENTS_MAX = 16  # at once
_CREDENTIALS = struct.Struct("3i")


class Control:
    """`async with Broker(...) as broker, Control(broker, path): ...`; `path`: of the socket, made with mode 0600 and
    removed at the end. `reload`, `trouble`: as of Actions. Entering the block raises OSError where the socket cannot be
    had.
    """

    def __init__(
        self,
        broker: "Broker",
        path: str | os.PathLike[str],
        reload: Reload | None = None,
        trouble: Callable[[], str] | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self._loop_watch = LoopWatch()
        self._actions = Actions(broker, self._loop_watch, reload, trouble)
        self._callers = Callers(self._serve, CLIENTS_MAX)
        self._inode = 0

    def also(self, name: str, action: Callable[[], Any]) -> None:
        """Answer one more request, with what `action` finds: that of a program with a broker inside."""
        self._actions.also(name, action)

    def add(self, name: str, action: Action, known: dict[str, type], *, changes: bool = False) -> None:
        """The same of one with arguments (Actions.add)."""
        self._actions.add(name, action, known, changes)

    async def __aenter__(self) -> Self:
        sock = self._bind()
        self._server = await asyncio.start_unix_server(self._callers.accept, sock=sock, limit=REQUEST_MAX)
        await self._loop_watch.__aenter__()
        log.info("control socket %s", self.path)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._loop_watch.__aexit__(kind, error, trace)
        self._server.close()
        with contextlib.suppress(OSError):
            if os.lstat(self.path).st_ino == self._inode:
                os.unlink(self.path)
        await self._callers.end()

    def _bind(self) -> socket.socket:
        if len(os.fsencode(self.path)) > PATH_MAX:
            raise OSError(f"control: {self.path} is too long for a Unix socket: {PATH_MAX} bytes at most")
        self._remove_old()
        sock = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            sock.bind(self.path)
            self._inode = os.lstat(self.path).st_ino
        except OSError as error:
            sock.close()
            raise OSError(f"control: cannot make the socket {self.path}: {error.strerror or error}") from error
        finally:
            os.umask(before)
        return sock

    def _remove_old(self) -> None:
        """What a broker has left that was killed."""
        try:
            found = os.lstat(self.path)
        except OSError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise OSError(f"control: {self.path} is there already, and is no socket")
        if is_answered(self.path):
            raise OSError(f"control: another program listens on {self.path}: give this broker a path of its own")
        os.unlink(self.path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        by = _who(writer.get_extra_info("socket"))
        try:
            while True:
                self._callers.waits(True)
                try:
                    line = await reader.readline()
                except ValueError:
                    writer.write(_line({"ok": False, "error": f"a request has {REQUEST_MAX} bytes at most"}))
                    break
                self._callers.waits(False)
                if not line.endswith(b"\n"):
                    break
                writer.write(await self._answer(line, by))
                await writer.drain()
        except OSError:
            pass

    async def _answer(self, line: bytes, by: str) -> bytes:
        try:
            try:
                request = json.loads(line)
            except RecursionError:
                raise ValueError("a request has no lists or objects in it") from None
            if not isinstance(request, dict):
                raise ValueError('a request is an object in one line, as {"do": "status"}')
            began = now_ms()
            found = await self._actions.do(request, by)
            return await _found(found, now_ms() - began)
        except (ValueError, OSError) as error:
            return _line({"ok": False, "error": str(error)})
        except Exception as error:  # a fault of ours: it ends this request and nothing else
            log.exception("control socket: unexpected error")
            return _line({"ok": False, "error": f"unexpected error, see the broker's log: {error}"})


async def _found(found: Any, took_ms: int) -> bytes:
    """The answer; of a long list in slices, between which the broker has its turn."""
    if not isinstance(found, list) or len(found) <= SLICE:
        return _line({"ok": True, "found": found, "took_ms": took_ms})
    parts = []
    for begin in range(0, len(found), SLICE):
        parts.append(json.dumps(found[begin : begin + SLICE], separators=(",", ":"))[1:-1])
        await asyncio.sleep(0)
    return f'{{"ok":true,"found":[{",".join(parts)}],"took_ms":{took_ms}}}\n'.encode()


def _line(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"


def _who(sock: socket.socket) -> str:
    """Who is at the other end, for the log."""
    try:
        data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, _ = _CREDENTIALS.unpack(data)
    except (OSError, AttributeError):  # no Linux
        return "control socket"
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    return f"control socket (user {user}, process {pid})"
