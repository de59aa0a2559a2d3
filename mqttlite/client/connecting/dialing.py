"""Connecting to a host name that has several addresses, on CPython: no dead one of them is waited for (RFC 8305).

Attempts start one after the other: the next one as soon as the one before has failed, after DELAY_S at the latest; the
first that succeeds is taken. Addresses of both families take turns, beginning with the one that the system prefers; a
name with two addresses of one family, the first of which swallows everything, works as well.

Not asyncio's `happy_eyeballs_delay`: uvloop does not have it, and the error of several addresses has no number there.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ...core.errors import ConnectError

DELAY_S = 0.25  # before the next address is tried beside those that have not answered (RFC 8305, section 8)

T = TypeVar("T")
P = TypeVar("P", bound=asyncio.BaseProtocol)


async def open_tcp(factory: Callable[[], P], host: str, port: int) -> tuple[asyncio.Transport, P]:
    """asyncio's `create_connection` to the first address of `host` that answers. Raises OSError, or ConnectError for a
    name that cannot be one; the time is the caller's to limit.
    """
    loop = asyncio.get_running_loop()
    return await _race(host, port, lambda ip: loop.create_connection(factory, ip, port), lambda made: made[0].abort())


async def open_streams(host: str, port: int, limit: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """asyncio's `open_connection` to the first address of `host` that answers; as `open_tcp`."""
    return await _race(
        host,
        port,
        lambda ip: asyncio.open_connection(ip, port, limit=limit),
        lambda made: made[1].transport.abort(),
    )


async def _race(host: str, port: int, attempt: Callable[[str], Awaitable[T]], discard: Callable[[T], None]) -> T:
    """The result of the first of `attempt(ip)` to succeed; `discard` is called with every other one's."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:  # of the codec for international names
        raise ConnectError(f"cannot find the host '{host}': it is not a possible name") from None
    addresses = _in_turns(found)
    if len(addresses) == 1:
        return await attempt(addresses[0])
    running: dict[asyncio.Task[T], str] = {}
    errors: dict[str, OSError] = {}
    won: asyncio.Task[T] | None = None

    async def tried(address: str) -> T:
        return await attempt(address)

    try:
        while addresses or running:
            if addresses:
                address = addresses.pop(0)
                running[asyncio.create_task(tried(address), name=f"connect to {address}")] = address
            done, _ = await asyncio.wait(
                running, timeout=DELAY_S if addresses else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in sorted(done, key=list(running).index):  # the earlier address, should two have succeeded
                error = task.exception()
                if error is None:
                    won = task
                    return task.result()
                address = running.pop(task)
                if not isinstance(error, OSError):
                    raise error
                errors[address] = error
    finally:
        for task in running:
            if task is not won:
                task.cancel()
                task.add_done_callback(lambda task: _discarded(task, discard))
    raise _together(errors)


def _discarded(task: "asyncio.Task[T]", discard: Callable[[T], None]) -> None:
    """An attempt that is not needed any more; it may have succeeded in the instant in which it was cancelled."""
    if not task.cancelled() and not task.exception():
        discard(task.result())


def _in_turns(found: list[tuple[Any, ...]]) -> list[str]:
    """The addresses that `getaddrinfo` has found, those of the two families in turns, the first one's family first."""
    families: dict[int, list[str]] = {}
    for family, _, _, _, address in found:
        known = families.setdefault(family, [])
        ip = address[0]
        if family == socket.AF_INET6 and address[3] and "%" not in ip:
            ip = f"{ip}%{address[3]}"  # fe80::…, as .local names have: nothing without its interface
        if ip not in known:
            known.append(ip)
    turns = []
    while any(families.values()):
        turns += [known.pop(0) for known in families.values() if known]
    return turns


def _together(errors: dict[str, OSError]) -> OSError:
    """One error for all addresses: that of all, or with the words of each."""
    each = list(errors.values())
    if len({error.errno for error in each}) == 1:
        return each[0]
    said = "; ".join(f"{address}: {error.strerror or error}" for address, error in errors.items())
    return OSError(None, f"none of its {len(errors)} addresses answers: {said}")
