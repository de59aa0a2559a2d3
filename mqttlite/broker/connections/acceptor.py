"""Who lets connections in that come to a listening socket, in a loop of poll.py: of each address one in turn, however
many come from one. Imports poll, bounds.

The kernel keeps connections in the order in which they came, and drops who comes when it has very many: then an honest
client waits for a flood that came before it, and has its first packet sent again after a second. So they are taken off
the kernel quickly, which is cheap, and wait here, by address; what is let in with each turn of the loop, which is not,
is a few of them.
"""

import asyncio
import errno
import logging
import select
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from ..bounds.addresses import UNIX, key_of
from .poll import Poll

log = logging.getLogger("mqttlite.broker")

TAKEN = 512  # off the kernel in one turn
LET_IN = 64  # connections in one turn: a flood of them must not hold those up that are there
WAITING_MAX = 4096  # beyond it, and beyond a quarter of the files that there may be, one is closed
NO_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
AGAIN_S = 1.0  # until the next try to let somebody in, when there was no room for one more file, or it failed otherwise

Comer = tuple[socket.socket, Any]  # and its peer's name


class Comers:
    """Connections that wait to be let in."""

    def __init__(self) -> None:
        self._by_address: dict[str, deque[Comer]] = {}  # the one whose turn it is first
        self.count = 0

    def put(self, comer: Comer) -> None:
        """One more."""
        name = comer[1]
        key = key_of(f"{name[0]}:{name[1]}") if isinstance(name, tuple) else UNIX
        self._by_address.setdefault(key, deque()).append(comer)
        self.count += 1

    def take(self) -> Comer:
        """The oldest of the address whose turn it is; there is one."""
        key = next(iter(self._by_address))
        waiting = self._by_address.pop(key)
        comer = waiting.popleft()
        if waiting:
            self._by_address[key] = waiting
        self.count -= 1
        return comer

    def take_from_most(self) -> Comer:
        """The oldest of the address with most of them."""
        key = max(self._by_address, key=lambda each: len(self._by_address[each]))
        waiting = self._by_address[key]
        comer = waiting.popleft()
        if not waiting:
            del self._by_address[key]
        self.count -= 1
        return comer


class Acceptor:
    """`let_in`: what becomes of a connection. `crowded`: told of the address of one that is closed, because too many
    wait, and it is of the address with most of them.
    """

    def __init__(
        self,
        sock: socket.socket,
        poll: Poll,
        let_in: Callable[[socket.socket, Any], None],
        crowded: Callable[[str], None],
    ) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._poll = poll
        self._let_in = let_in
        self._crowded = crowded
        self._loop = asyncio.get_running_loop()
        self._comers = Comers()
        self._most = min(WAITING_MAX, _files() // 4)
        self._is_letting_in = False
        self._is_closed = False
        self._again: asyncio.TimerHandle | None = None
        poll.watch(self._fd, select.EPOLLIN, self._ready)

    def _ready(self, event: int) -> None:
        accept = self._sock.accept
        comers = self._comers
        try:
            for _ in range(TAKEN):
                comers.put(accept())
                if comers.count > self._most:
                    self._close_one()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            pass
        except OSError as error:
            self._failed(error)
        if not self._is_letting_in and comers.count:
            self._go_on_letting_in()

    def _close_one(self) -> None:
        sock, name = self._comers.take_from_most()
        self._crowded(f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "Unix socket")
        sock.close()

    def _failed(self, error: OSError) -> None:
        """Nobody could be taken, and the kernel says at once again that somebody comes."""
        what_to_do = ""
        if error.errno in NO_FILES:
            if self._comers.count:  # these are files, too
                self._close_one()
                return
            what_to_do = " (raise the limit of open files: ulimit -n)"
        log.error("nobody can connect for a second: %s%s", error, what_to_do)
        self._poll.watch(self._fd, 0, self._ready)
        self._again = self._loop.call_later(AGAIN_S, self._go_on)

    def _go_on(self) -> None:
        self._again = None
        self._poll.watch(self._fd, select.EPOLLIN, self._ready)

    def _go_on_letting_in(self) -> None:
        """Some at once, the others in the next turns."""
        comers = self._comers
        for _ in range(LET_IN):
            if self._is_closed or not comers.count:
                break
            sock, name = comers.take()
            sock.setblocking(False)
            try:
                self._let_in(sock, name)
            except Exception:  # a fault of ours: it ends nothing but this
                log.exception("unexpected error while a connection was let in")
                sock.close()
        self._is_letting_in = bool(comers.count) and not self._is_closed
        if self._is_letting_in:
            self._loop.call_soon(self._go_on_letting_in)

    def close(self) -> None:
        """Let nobody in any more; the socket is somebody else's."""
        self._is_closed = True
        if self._again:
            self._again.cancel()
        self._poll.watch(self._fd, 0, self._ready)
        while self._comers.count:
            self._comers.take()[0].close()


def _files() -> int:
    """How many this process may have open."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return 4 * WAITING_MAX
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4 * WAITING_MAX if soft == resource.RLIM_INFINITY else soft
