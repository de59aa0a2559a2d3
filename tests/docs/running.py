"""A program of a page as a process."""

import asyncio
import contextlib
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path


@contextlib.asynccontextmanager
async def running(text: str, url: str, folder: Path) -> AsyncIterator[asyncio.StreamReader]:
    """The program in `folder`, with the broker's address in it; yields what it prints, and kills it at the end."""
    source, count = re.subn(r'"mqtt://[^"]+"', f'"{url}"', text)
    assert count == 1
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-c", source, cwd=folder, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        yield process.stdout
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            process.kill()
        await process.wait()
