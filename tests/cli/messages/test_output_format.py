"""-F of `mqttlite sub` prints what mosquitto_sub prints."""

import json
import re
from datetime import datetime

import pytest

from mqttlite.cli.messages.output_format import compile_format
from mqttlite.client import Message
from mqttlite.core.message_properties import encode
from tests.cli.commands import MQTTLITE
from tests.peers import Mosquitto, mosquitto_pub, program, run


def message(topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> Message:
    return Message(topic, payload, qos << 1 | retain, 7, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", b""),
        ("%t %p", b"room/1 21\xff\x00"),
        ("%q%r%l%%", b"214%"),
        ("%x %X", b"3231ff00 3231FF00"),
        ("%10t|%-10t|%.4t|%10.4t", b"    room/1|room/1    |room|      room"),
        ("%05l|%5l|%-5l|%012x|%.4x", b"00004|    4|4    |00003231ff00|3231"),
        (r"\\ \n\t\r\a\e\0\v", b"\\ \n\t\r\a\x1b\0\v"),
        ("@@ é", "@ é".encode()),
        ("<%C%R>", b"<>"),
    ],
)
def test_a_format_prints_as_the_manual_page_says(text: str, expected: bytes) -> None:
    assert compile_format(text)(message("room/1", b"21\xff\0", qos=2, retain=True)) == expected


def test_json_holds_the_message_and_its_time() -> None:
    fields = json.loads(compile_format("%j")(message("a", b'say "hi"\xff', qos=1)))
    datetime.fromisoformat(fields.pop("tst"))
    assert fields == {"topic": "a", "qos": 1, "retain": 0, "payloadlen": 9, "mid": 7, "payload": 'say "hi"\ufffd'}


def test_raw_json_holds_the_payload_as_it_is_and_refuses_what_is_no_json() -> None:
    as_json = compile_format("%J")
    assert json.loads(as_json(message("a", b'{"t": 27.0}')))["payload"] == {"t": 27.0}
    for payload in (b"", b"{", b"NaN", b"\xff", b"[" * 100_000):
        with pytest.raises(ValueError, match="not valid JSON on topic a"):
            as_json(message("a", payload))


def test_times_are_iso_8601_unix_and_strftime() -> None:
    text = compile_format("%I|%U|@Y-@m|@N")(message("a", b"")).decode()
    iso, unix, month, nanoseconds = text.split("|")
    assert abs(datetime.fromisoformat(iso).timestamp() - float(unix)) < 1.001
    assert iso.startswith(month)
    assert unix.split(".")[1] == nanoseconds
    assert re.fullmatch(r"\d{9}", nanoseconds)


async def test_formats_print_the_same_as_mosquitto_sub(mosquitto: Mosquitto) -> None:
    await mosquitto_pub(mosquitto.port, "-t", "room/é", "-r", "-q", "1", "-s", stdin=b"\x01 21,5 \xc3\xa9")
    text = r"%t|%q|%r|%l|%x|%X|%-12t|%12t|%.3t|%06l|\t@Y%%@@"
    args = ("-h", "127.0.0.1", "-p", str(mosquitto.port), "-t", "#", "-C", "1", "-q", "1", "-F", text)
    theirs = await run(program("mosquitto_sub"), *args)
    ours = await run(*MQTTLITE, "sub", *args)
    assert ours.stdout == theirs.stdout


def test_what_a_terminal_would_obey_is_escaped_in_properties_too() -> None:
    hostile = message("a", b"x")
    hostile.properties = encode(
        {
            "content_type": "\x1b[2J",
            "correlation_data": b"\x07\n",
            "response_topic": "r",
            "user_properties": {"\x9b": "\r"},
        }
    )
    assert compile_format("%C %D %P", escaped=True)(hostile) == rb"\x1b[2J \x07\n \x9b:\r"
    assert compile_format("%C")(hostile) == b"\x1b[2J"
    assert b"\x1b" not in compile_format("%j", escaped=True)(hostile)
