"""mqttlite_board/together.py on both runtimes: what ends one ends all, and no exception is lost."""

import json
from pathlib import Path

import pytest

from tests.firmware.boards import run

SCRIPT = """
import asyncio, json
from mqttlite_board.together import together

said = []

async def lives():
    try:
        await asyncio.sleep(3600)
    finally:
        said.append("cancelled")

async def ends():
    await asyncio.sleep(0)
    said.append("ends")

async def fails():
    await asyncio.sleep(0)
    said.append("fails")
    raise ValueError("why")

async def main():
    try:
        await together(*PARTS)
    except ValueError as error:
        said.append(str(error))
    await asyncio.sleep(0.01)
    print(json.dumps(said))

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ("lives(), ends(), lives()", ["ends", "cancelled", "cancelled"]),
        ("lives(), fails()", ["fails", "why", "cancelled"]),
        ("fails(), fails(), lives()", ["fails", "fails", "why", "cancelled"]),
        ("ends(),", ["ends"]),
    ],
)
async def test_the_first_to_end_ends_all(runtime: str, tmp_path: Path, parts: str, said: list[str]) -> None:
    printed = await run(runtime, tmp_path, SCRIPT.replace("*PARTS", parts))
    assert json.loads(printed) == said
