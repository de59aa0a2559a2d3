"""The control socket among programs of its own user that do not behave."""

import asyncio
import json
from pathlib import Path

import pytest

from mqttlite.broker.operating.control import CLIENTS_MAX
from tests.broker.operating.test_control import controlled
from tests.broker.raw import TIMEOUT_S


async def test_of_too_many_clients_the_one_goes_that_has_asked_for_nothing_for_longest(tmp_path: Path) -> None:
    async with controlled(tmp_path) as it:
        others = [await asyncio.open_unix_connection(it.path) for _ in range(CLIENTS_MAX - 1)]
        for _, writer in others:
            writer.write(b'{"do":')  # half of a request
        try:
            assert await it.ask("status")
            others.append(await asyncio.open_unix_connection(it.path))
            reader, writer = others[-1]
            writer.write(b'{"do": "status"}\n')
            async with asyncio.timeout(TIMEOUT_S):
                assert json.loads(await reader.readline())["ok"]
                assert await others[0][0].read(1) == b""
            assert await it.ask("status")
        finally:
            for _, writer in others:
                writer.close()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"do": []}', "there is no request []"),
        (b'{"do": {}}', "there is no request {}"),
        (b'{"do":' * 5000, "no lists or objects in it"),
        (b'{"do": "show", "client": "\\ud800"}', "surrogates not allowed"),
        (b'{"do": "clear", "filter": "\\ud800"}', "surrogates not allowed"),
    ],
)
async def test_a_request_that_makes_no_sense_is_no_error_of_ours(tmp_path: Path, line: bytes, words: str) -> None:
    async with controlled(tmp_path) as it:
        answer = await it.raw(line)
        assert not answer["ok"] and words in answer["error"]
        assert "unexpected" not in answer["error"]
