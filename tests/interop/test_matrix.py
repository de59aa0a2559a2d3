"""The table of docs/interop.md is what clients and brokers do: every feature with every client, column by column."""

import logging
from pathlib import Path

import pytest

from tests.interop.matrix.table import COLUMNS, NO, Column, in_docs, title, tried


@pytest.mark.parametrize("column", COLUMNS, ids=title)
async def test_each_feature_works_as_the_table_says(
    column: Column, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who adds a feature, or mends one: `make interop` writes the table anew."""
    caplog.set_level(logging.CRITICAL)
    found = await tried(column, tmp_path)
    assert NO not in found.values()
    assert found == in_docs()[column]
