"""A browser for all tests of this folder, and a page for each."""

from collections.abc import AsyncIterator, Iterator

import pytest

from .browser import Tab, chromium, devtools


@pytest.fixture(scope="session")
def browser() -> Iterator[str]:
    with chromium() as address:
        yield address


@pytest.fixture
async def tab(browser: str) -> AsyncIterator[Tab]:
    """A new tab; whatever its scripts have not caught, or a policy has blocked, fails the test."""
    async with devtools(browser) as tools:
        tab = await tools.tab()
        yield tab
        assert not tab.errors and not tab.dialogs
