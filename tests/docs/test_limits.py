"""docs/limits.md: every limit is in its table with its default, and what its first table names is there."""

import re

import pytest

from benchmarks.attack.attacks import ATTACKS
from mqttlite.broker.limits import NAMES, Limits
from tests.docs.pages import text_of
from tools.limits_table import made

PAGE = "docs/limits.md"


def test_the_table_of_all_limits_is_what_the_broker_has() -> None:
    assert made(text_of(PAGE)) == text_of(PAGE), "python -m tools.limits_table"


def test_each_limit_that_an_attack_meets_is_one() -> None:
    against = text_of(PAGE).split("## Against what")[1].split("## How")[0]
    named = set(re.findall(r"`(\w+)`", against)) | set(
        re.findall(r"\w+", " ".join(each.row for each in ATTACKS.values()))
    )
    assert named - NAMES.keys() <= {"malformed", "wills"}


@pytest.mark.parametrize(
    ("text", "limit", "value"),
    [
        ("5 s for the first byte", "first_byte_ms", 5000),
        ("10 s for all of CONNECT", "connect_ms", 10_000),
        ("more than 50 without CONNECT", "half_open", 50),
        ("or 10 of one address", "half_open_per_address", 10),
        ("over 30 s, however long", "packet_ms", 30_000),
        ("20 connections a second of one", "connects_per_address", 20),
        ("500 of all", "connects_a_second", 500),
        ("30 times a minute", "failed_logins_a_minute", 30),
        ("five times a minute", "takeovers_a_minute", 5),
        ("32, of these 16 user properties, 4 KiB", "properties", 32),
        ("256 of one client and 2,048 of all", "wildcards", 256),
        ("of 1,000 persistent ones, or 20 of one user", "persistent_sessions", 1000),
        ("may hold 96 MiB", "address_bytes", 96 << 20),
        ("all together 192 MiB", "memory_bytes", 192 << 20),
        ("20 lines a second", "log_lines_a_second", 20),
        ("then 1 MiB, announced", "packet_bytes", 1 << 20),
    ],
)
def test_what_the_page_says_in_words_are_the_defaults(text: str, limit: str, value: int) -> None:
    assert text in text_of(PAGE)
    assert getattr(Limits(), limit) == value
