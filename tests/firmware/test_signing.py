"""HMAC on boards, beside Python's own."""

import hmac
import random
from pathlib import Path

from mqttlite_board import signing
from tests.firmware.boards import run


def test_it_is_the_hmac_that_python_has() -> None:
    chance = random.Random(1)
    for size in (0, 1, 31, 32, 63, 64, 65, 200):
        key, data = chance.randbytes(size), chance.randbytes(3 * size)
        assert signing.hmac(key, data) == hmac.digest(key, data, "sha256")


async def test_a_board_computes_the_same(tmp_path: Path, runtime: str) -> None:
    script = "from mqttlite_board.signing import hmac, same\nprint(list(hmac(b'k' * 70, memoryview(b'data'))))\n"
    script += "print(same(b'ab', b'ab'), same(b'ab', b'aB'), same(b'ab', b'abc'), same(b'', b''))\n"
    lines = (await run(runtime, tmp_path, script)).splitlines()
    assert lines == [str(list(hmac.digest(b"k" * 70, b"data", "sha256"))), "True False False True"]
