"""How a client ends in good order. Loaded when it does: a board hardly ever. Both runtimes."""

import asyncio

from ..core import const
from ..core.errors import ClosedError

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .base import BaseClient


async def drain(client: "BaseClient", timeout_s: float) -> bool:
    """See BaseClient.drain."""
    try:
        await asyncio.wait_for(_drained(client), timeout_s)
    except asyncio.TimeoutError:
        if client._receipts:
            client._log("%d accepted messages are not confirmed after %s s" % (len(client._receipts), timeout_s))
        else:
            client._log("not everything has left after %s s" % timeout_s)
    return not client._receipts and not client._given_up


async def _drained(client: "BaseClient") -> None:
    protocol = client._protocol
    while client._error is None and (client._receipts or (client.is_connected and (client._writing or protocol.out))):
        await client._progress.wait()


async def close(client: "BaseClient") -> None:
    """See BaseClient.close."""
    if client._error is None:
        client._stop(ClosedError("the client is closed"))
    reason = client._error
    if client._closing:  # by another task; MicroPython cannot wait for a task twice
        await client._closing.wait()
        return
    client._closing = closing = asyncio.Event()
    try:
        task = client._task
        if task:
            if not client.is_connected:
                task.cancel()  # nothing to end in good order, and connecting can take long
            await asyncio.gather(task, return_exceptions=True)
        if client._serial:
            await client._serial.close()
        if client._has_store:
            client._has_store = False
            await client.store.close()
    finally:
        client._closing = None
        closing.set()
    error = client._error
    if error and error is not reason:
        raise error
