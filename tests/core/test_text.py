"""UTF-8 and topics: against CPython's decoder, and against a matcher written another way."""

import itertools
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqttlite.core import text
from mqttlite.core.errors import ProtocolError
from mqttlite.core.matching import matches
from mqttlite.core.text import check_topic_filter, check_topic_name, check_utf8, to_utf8
from tests.core.packets import topic_filters, topics
from tests.statements import statement


def strictly_decodes(data: bytes) -> bool:
    try:
        data.decode("utf-8", "strict")
    except UnicodeDecodeError:
        return False
    return True


def test_cpython_relies_on_its_own_decoder() -> None:
    assert not text._LAX


# Both sides of every edge of table 3-7 in the Unicode standard.
EDGES = sorted(
    {
        value
        for edge in (0x80, 0x90, 0xA0, 0xC0, 0xC2, 0xE0, 0xE1, 0xED, 0xEE, 0xF0, 0xF1, 0xF4, 0xF5, 0xF8)
        for value in (edge - 1, edge, edge + 1)
    }
    | {0, 0x41, 0xFF}
)


@statement("3.1.1", "MQTT-1.5.3-1")
def test_own_decoder_agrees_with_cpython_on_all_1_and_2_byte_sequences() -> None:
    for size in (0, 1, 2):
        for values in itertools.product(range(256), repeat=size):
            data = bytes(values)
            assert text._well_formed(data) == strictly_decodes(data), data.hex()


@statement("3.1.1", "MQTT-1.5.3-1")
@pytest.mark.parametrize("size", [3, 4])
def test_own_decoder_agrees_with_cpython_around_every_edge_of_3_and_4_byte_sequences(size: int) -> None:
    leads = range(0xC0, 0x100) if size == 3 else (0xE0, 0xED, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5)
    tails = EDGES if size == 3 else (0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xF0)
    for lead in leads:
        for tail in itertools.product(tails, repeat=size - 1):
            data = bytes((lead, *tail))
            assert text._well_formed(data) == strictly_decodes(data), data.hex()


@statement("3.1.1", "MQTT-1.5.3-1")
def test_own_decoder_takes_every_code_point_and_refuses_every_surrogate() -> None:
    for code in itertools.chain(range(0x11000), range(0x11000, 0x110000, 251), (0x10FFFF,)):
        data = chr(code).encode("utf-8", "surrogatepass")
        assert text._well_formed(data) == (not 0xD800 <= code <= 0xDFFF), hex(code)


@given(st.lists(st.sampled_from(EDGES), max_size=12).map(bytes) | st.text().map(lambda s: s.encode()) | st.binary())
def test_own_decoder_agrees_with_cpython(data: bytes) -> None:
    assert text._well_formed(data) == strictly_decodes(data)


def test_own_decoder_agrees_with_cpython_on_text_with_one_byte_changed() -> None:
    seeded = random.Random(3)
    good = "aé€\ufeff\U0001f600/ \ud7ff\ue000".encode()
    for _ in range(20_000):
        data = bytearray(good)
        data[seeded.randrange(len(data))] = seeded.randrange(256)
        cut = bytes(data[: seeded.randrange(len(data) + 1)])
        assert text._well_formed(cut) == strictly_decodes(cut), cut.hex()


BAD_UTF8 = {
    "a surrogate": "eda080",
    "the last surrogate": "edbfbf",
    "a pair of surrogates": "eda0bdedb880",
    "an overlong form of two bytes": "c0af",
    "an overlong U+0000": "c080",
    "an overlong form of three bytes": "e08080",
    "an overlong form of four bytes": "f0808080",
    "a code point above U+10FFFF": "f4908080",
    "a sequence of five bytes": "f888808080",
    "a lone continuation byte": "61bf",
    "a truncated sequence": "61e282",
    "a truncated sequence before text": "e28261",
    "the byte FF": "ff",
}


@statement("3.1.1", "MQTT-1.5.3-1", "MQTT-1.5.3-2", "MQTT-4.7.3-2")
@pytest.mark.parametrize("lax", [False, True])
def test_bad_text_is_refused_by_rule(lax: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_LAX", lax)
    for name, data in BAD_UTF8.items():
        for check in (check_topic_name, check_topic_filter, lambda data: check_utf8(data, "field")):
            with pytest.raises(ProtocolError) as error:
                check(bytes.fromhex(data))
            assert error.value.rule == "MQTT-1.5.3-1", name
    for check in (check_topic_name, check_topic_filter):
        with pytest.raises(ProtocolError) as error:
            check(b"a\0b")
        assert error.value.rule == "MQTT-1.5.3-2"


@pytest.mark.parametrize("lax", [False, True])
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_all_other_text_passes_unchanged(lax: bool, value: str) -> None:
    before = text._LAX
    text._LAX = lax
    try:
        assert to_utf8(value, "text") == to_utf8(value.encode(), "text") == value.encode()
    finally:
        text._LAX = before


@statement("3.1.1", "MQTT-1.5.3-3")
def test_a_byte_order_mark_is_kept() -> None:
    assert to_utf8("\ufeffa", "text") == b"\xef\xbb\xbfa"
    assert not matches("\ufeffa".encode(), b"a")
    assert matches("\ufeffa".encode(), "\ufeffa".encode())


@pytest.mark.parametrize(
    ("given_text", "rule"),
    [("a\ud800", "MQTT-1.5.3-1"), (b"\xc3", "MQTT-1.5.3-1"), ("a\0", "MQTT-1.5.3-2"), ("é" * 32768, "MQTT-4.7.3-3")],
)
def test_text_of_the_application_is_checked(given_text: "str | bytes", rule: str) -> None:
    with pytest.raises(ProtocolError) as error:
        to_utf8(given_text, "topic name")
    assert error.value.rule == rule
    assert "topic name" in str(error.value)


# -- topic names and filters

FILTERS = {
    "": "MQTT-4.7.3-1",
    "/": None,
    "#": None,
    "+": None,
    "+/+": None,
    "/+": None,
    "+/": None,
    "/#": None,
    "+/#": None,
    "sport/tennis/#": None,
    "sport/+/player1": None,
    "sport//player1": None,
    "sport tennis": None,
    "$SYS/#": None,
    "$SYS/monitor/+": None,
    "$share/group/a": None,
    "sport/tennis#": "MQTT-4.7.1-2",
    "sport/tennis/#/ranking": "MQTT-4.7.1-2",
    "#/": "MQTT-4.7.1-2",
    "##": "MQTT-4.7.1-2",
    "#a": "MQTT-4.7.1-2",
    "+#": "MQTT-4.7.1-2",
    "sport+": "MQTT-4.7.1-3",
    "+sport": "MQTT-4.7.1-3",
    "sport/+tennis/#": "MQTT-4.7.1-3",
    "++": "MQTT-4.7.1-3",
    "a/++/b": "MQTT-4.7.1-3",
    "x" * 65535: None,
    "x" * 65536: "MQTT-4.7.3-3",
}


@statement("3.1.1", "MQTT-4.7.1-2", "MQTT-4.7.1-3", "MQTT-4.7.3-1", "MQTT-4.7.3-3", "MQTT-3.8.3-1")
@pytest.mark.parametrize(("topic_filter", "rule"), FILTERS.items(), ids=lambda value: str(value)[:20])
def test_topic_filters_are_valid_as_in_4_7(topic_filter: str, rule: "str | None") -> None:
    if rule is None:
        check_topic_filter(topic_filter.encode())
        return
    with pytest.raises(ProtocolError) as error:
        check_topic_filter(topic_filter.encode())
    assert error.value.rule == rule


@statement("3.1.1", "MQTT-4.7.1-1", "MQTT-3.3.2-2", "MQTT-4.7.3-1", "MQTT-4.7.3-3")
@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("", "MQTT-4.7.3-1"),
        ("#", "MQTT-3.3.2-2"),
        ("a/+", "MQTT-3.3.2-2"),
        ("a+b", "MQTT-3.3.2-2"),
        ("a/#", "MQTT-3.3.2-2"),
        ("x" * 65536, "MQTT-4.7.3-3"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_topic_names_that_are_none_are_refused(name: str, rule: str) -> None:
    with pytest.raises(ProtocolError) as error:
        check_topic_name(name.encode())
    assert error.value.rule == rule


@pytest.mark.parametrize(
    "name", ["/", "//", " ", "a", "/a", "a/", "$", "$SYS/a", "é", "x" * 65535], ids=lambda n: n[:9]
)
def test_topic_names_that_are_valid_pass(name: str) -> None:
    check_topic_name(name.encode())


@statement("3.1.1", "MQTT-4.7.2-1", "MQTT-3.3.2-3")
@pytest.mark.parametrize(
    ("topic_filter", "name", "yes"),
    [  # the examples of 4.7
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("#", "sport", True),
        ("#", "/", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/monitor/Clients", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/monitor/Clients", True),
        ("$SYS/#", "$SYS", True),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
        ("+/#", "$SYS", False),
        ("a/#", "a/$b", True),
        ("a/+", "a/$b", True),
        ("ACCOUNTS", "Accounts", False),
        ("a", "ab", False),
        ("ab", "a", False),
        ("a/b", "a", False),
        ("a", "a/b", False),
        ("a/", "a", False),
        ("/a", "a", False),
        ("a//b", "a/b", False),
        ("a/+/b", "a//b", True),
        ("a/#", "ab", False),
        ("+/a/#", "/a", True),
    ],
)
def test_matching_follows_4_7(topic_filter: str, name: str, yes: bool) -> None:
    assert matches(topic_filter.encode(), name.encode()) is yes


def reference(topic_filter: str, name: str) -> bool:
    """4.7 as a regular expression."""
    if name.startswith("$") and topic_filter[0] in "#+":
        return False
    if topic_filter == "#":
        return True
    parent = topic_filter.endswith("/#")
    levels = topic_filter.removesuffix("/#").split("/")
    pattern = "/".join("[^/]*" if level == "+" else re.escape(level) for level in levels)
    return re.fullmatch(pattern + ("(/.*)?" if parent else ""), name, re.DOTALL) is not None


small_names = st.lists(st.sampled_from(["", "a", "b", "$", "é"]), min_size=1, max_size=4).map("/".join).filter(bool)
small_filters = (
    st.tuples(st.lists(st.sampled_from(["", "a", "b", "$", "+", "é"]), max_size=4), st.sampled_from([[], ["#"]]))
    .map(lambda parts: "/".join([*parts[0], *parts[1]]))
    .filter(bool)
)


@given(small_filters, small_names)
def test_matching_agrees_with_a_regular_expression_in_a_small_world(topic_filter: str, name: str) -> None:
    assert matches(topic_filter.encode(), name.encode()) == reference(topic_filter, name)


@given(topic_filters(), topics)
def test_matching_agrees_with_a_regular_expression(topic_filter: str, name: str) -> None:
    assert matches(topic_filter.encode(), name.encode()) == reference(topic_filter, name)


@statement("3.1.1", "MQTT-4.7.3-4")
def test_nothing_is_normalised() -> None:
    composed, decomposed = "\u00e9", "e\u0301"
    assert not matches(composed.encode(), decomposed.encode())
    assert to_utf8(decomposed, "text") == decomposed.encode()


def test_all_filters_and_names_of_three_levels_agree_with_a_regular_expression() -> None:
    levels = ["", "a", "$"]
    names = ["/".join(parts) for n in (1, 2, 3) for parts in itertools.product(levels, repeat=n)]
    filters = ["/".join(parts) for n in (1, 2, 3) for parts in itertools.product([*levels, "+"], repeat=n)]
    filters += [start + "/#" for start in filters] + ["#"]
    for topic_filter in filter(None, filters):
        check_topic_filter(topic_filter.encode())
        for name in filter(None, names):
            assert matches(topic_filter.encode(), name.encode()) == reference(topic_filter, name), (topic_filter, name)


def test_a_topic_of_65535_levels_needs_no_recursion() -> None:
    deep = b"/" * 65535
    check_topic_filter(deep)
    assert matches(b"#", deep)
    assert matches(deep, deep)
    check_topic_filter(b"+/" * 32767 + b"#")
    assert matches(b"+/" * 32767 + b"#", b"/" * 32766)
