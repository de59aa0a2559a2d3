"""How a client ends in good order. Loaded when it does: a board hardly ever. Both runtimes."""

import asyncio

from ..core import const
from ..core.errors import ClosedError
from ..core.features import V5

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .connector import Connector


async def drain(connector: "Connector", timeout_s: float) -> bool:
    """See BaseClient.drain."""
    outgoing = connector.outgoing
    try:
        await asyncio.wait_for(_drained(connector), timeout_s)
    except asyncio.TimeoutError:
        if outgoing.receipts:
            connector.life.log(
                "%d accepted messages are not confirmed after %s s" % (len(outgoing.receipts), timeout_s)
            )
        else:
            connector.life.log("not everything has left after %s s" % timeout_s)
    return not outgoing.receipts and not outgoing.given_up


async def _drained(connector: "Connector") -> None:
    life = connector.life
    receipts = connector.outgoing.receipts
    while life.error is None and (receipts or (life.is_connected and (connector.is_writing or life.protocol.out))):
        await life.progress.wait()


async def close(connector: "Connector") -> None:
    """See BaseClient.close."""
    life = connector.life
    if life.error is None:
        life.end(ClosedError("the client is closed"))
    reason = life.error
    if connector.closing:  # by another task; MicroPython cannot wait for a task twice
        await connector.closing.wait()
        return
    connector.closing = closing = asyncio.Event()
    try:
        task = connector.task
        if task:
            if not life.is_connected:
                task.cancel()  # nothing to end in good order, and connecting can take long
            await asyncio.gather(task, return_exceptions=True)
        if V5 and life.protocol.outbound and life.protocol.outbound.watch:
            life.protocol.outbound.watch.cancel()
        if connector.serial:
            await connector.serial.close()
        if life.has_store:
            life.has_store = False
            await life.store.close()
    finally:
        connector.closing = None
        closing.set()
    error = life.error
    if error and error is not reason:
        raise error
