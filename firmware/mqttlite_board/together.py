"""Several coroutines that live and die together: MicroPython has no TaskGroup. Both runtimes."""

import asyncio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any


async def together(*coroutines: "Coroutine[Any, Any, None]") -> None:
    """Run all of them until the first one ends, then cancel the others. Raises what the first one raised."""
    ended = asyncio.Event()
    failures: "list[Exception]" = []

    async def run(coroutine: "Coroutine[Any, Any, None]") -> None:
        try:
            await coroutine
        except Exception as error:
            failures.append(error)
        ended.set()

    tasks = [asyncio.create_task(run(coroutine)) for coroutine in coroutines]
    try:
        await ended.wait()
    finally:
        for task in tasks:
            task.cancel()
    if failures:
        raise failures[0]
