"""What reads Mosquitto's byte sequences, with some of our own: their notation, and what counts as another answer."""

import json
from pathlib import Path

import pytest

from tests.conformance.mosquitto_sequences import parsed, run

GROUPS: list[dict[str, object]] = [
    {
        "group": "off",
        "disable": True,
        "tests": [{"name": "none", "msgs": [{"type": "send", "payload": "no notation"}]}],
    },
    {
        "group": "v3.1.1 PINGREQ",
        "tests": [
            {"name": "ok", "expect_disconnect": False, "msgs": []},
            {"name": "flags", "msgs": [{"type": "send", "payload": "C1 r0"}]},
        ],
    },
    {
        "group": "v5.0 PUBLISH",
        "ver": 5,
        "tests": [
            {
                "name": "a property of another packet",
                "msgs": [
                    {"type": "send", "payload": "30 r8 s1 'a' v2 11 00 'xy'"},
                    {"type": "recv", "payload": "E0 r1 82"},
                ],
            },
            {
                "name": "to a subscriber",
                "expect_disconnect": False,
                "msgs": [
                    {"type": "send", "payload": "82 r9 m1 v0 s3 'a/b' 00"},
                    {"type": "recv", "payload": "90 r4 m1 v0 00"},
                    {"type": "publish", "topic": "a/b", "payload": "x y", "qos": 2},
                    {"type": "recv", "payload": "30 r9 s3 'a/b' v0 'x y'"},
                ],
            },
        ],
    },
]
WRONG = {
    "group": "v5.0 PINGREQ",
    "ver": 5,
    "tests": [{"name": "ends", "msgs": [{"type": "send", "payload": "C0 r0"}]}],
}


def folder(path: Path, *groups: object) -> Path:
    data = path / "test/broker/data"
    data.mkdir(parents=True)
    (data / "OURS.json").write_text(json.dumps(groups), "utf-8")
    return path


async def test_what_differs_for_a_reason_is_counted_and_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(folder(tmp_path, *GROUPS), False) == 0
    output = capsys.readouterr().out
    assert "MQTT 3.1.1      2 sequences,     2 answered as Mosquitto does" in output
    assert "MQTT 5.0        2 sequences,     1 answered as Mosquitto does" in output
    assert "    1  0x81 for 0x82: a property" in output


async def test_what_nothing_explains_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(folder(tmp_path, WRONG), False) == 1
    assert "OURS: v5.0 PINGREQ: ends: taken: c0 00" in capsys.readouterr().out


def test_the_notation_of_the_sequences_is_read() -> None:
    assert parsed("10 r300 s5 'a b' i7 k60 m1 L65536 v128 FF") == bytes.fromhex(
        "10 ac02 0005 612062 07 003c 0001 00010000 8001 ff"
    )
