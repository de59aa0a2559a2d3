"""Errors that cite a rule: the words for each are there, and do without where there is no memory for them."""

import ast
import re
import sys

import pytest

from mqttlite.core import errors, rare_errors
from mqttlite.core.broken_rules import WORDS
from mqttlite.core.errors import ProtocolError, broken
from tests.runtimes import ROOT


def cited() -> dict[str, set[int]]:
    """What the code calls `broken` with: how many values, by what it is about."""
    found: dict[str, set[int]] = {}
    for path in ROOT.glob("mqttlite/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "broken":
                assert isinstance(node.args[0], ast.Constant), path
                found.setdefault(str(node.args[0].value), set()).add(len(node.args) - 1)
    return found


def test_every_rule_that_is_cited_has_words_for_as_many_values_and_no_words_are_left_over() -> None:
    assert cited() == {about: {len(re.findall("%[ds]", text))} for about, text in WORDS.items()}


def test_an_error_says_what_was_wrong_and_which_rule_it_broke() -> None:
    error = broken("4.8 size", 300, 127)
    assert (type(error), error.rule) == (ProtocolError, "4.8")
    assert str(error) == "packet of 300 bytes; at most 127 are accepted here [4.8]"


def test_where_the_words_cannot_be_loaded_the_error_is_the_same_and_names_its_rule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "mqttlite.core.broken_rules", None)
    error = broken("MQTT-3.3.1-4")
    assert (error.rule, str(error)) == ("MQTT-3.3.1-4", "MQTT-3.3.1-4 [MQTT-3.3.1-4]")


def test_every_error_is_had_from_one_module_and_a_name_that_is_none_is_refused() -> None:
    for name in ("RefusedError", "SubscribeError", "InDoubtError", "PublishError", "SetAsideError"):
        error = getattr(errors, name)
        assert error is getattr(rare_errors, name)
        assert issubclass(error, errors.MQTTError)
    with pytest.raises(AttributeError, match="NoSuchError"):
        errors.NoSuchError  # type: ignore[attr-defined]  # noqa: B018
