"""Names the normative statements of MQTT that a test shows.

    @statement("3.1.1", "MQTT-4.3.3-2")
    def test_...

Version first: 119 labels occur in both standards, and most of them mean different things there. Statements that do not
apply are listed, with the reason, in tests/conformance/not_applicable.toml.
"""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

VERSIONS = ("3.1.1", "5.0")
LABEL = re.compile(r"MQTT-\d+(\.\d+)+-\d+")

T = TypeVar("T", bound="Callable[..., Any] | type[Any]")


def statement(version: str, *labels: str) -> Callable[[T], T]:
    """Marks a test (function or class) as showing these statements of the standard's `version`, "3.1.1" or "5.0"."""
    if version not in VERSIONS:
        raise ValueError(f"statement(): MQTT {version!r} is none of {VERSIONS}")
    wrong = [label for label in labels if not LABEL.fullmatch(label)]
    if wrong or not labels:
        raise ValueError(f"statement(): labels look like 'MQTT-4.3.3-2', not like {wrong}")
    return pytest.mark.statement(version, *labels)
