"""Where in its file a mistake of `mqttlite broker --config` is."""

from pathlib import Path

import pytest

from mqttlite.broker.config import Mistakes, load
from mqttlite.settings.found import Found

FORMS = """\
# a comment
listen = [ # line 2
    "mqtt://127.0.0.1:1", # [limits]
    "ws://127.0.0.1:2",
]

store = \"\"\"
filters = 3
[limits]
\"\"\"
server_reference = "x"; # line 11 makes the file one that cannot be read
"""
READ = (
    FORMS.replace('"x";', '"x"')
    + """\

[limits] # line 13
filters = 1
queue_bytes = 2
limits.x = 1

[[queue]] # line 18
clients = "a"

[[queue]]
max_bytes = 1 # line 22
clients = "b"
[[listener]]
url = "x"
alpn = ["mqtt",
  "y"]
origins = { a = 1, b = [
  { c = 2 }] }
"""
)


@pytest.mark.parametrize(
    ("at", "line"),
    [
        (("listen",), 2),
        (("store",), 7),
        (("server_reference",), 11),
        (("limits",), 13),
        (("limits", "filters"), 14),
        (("limits", "queue_bytes"), 15),
        (("limits", "limits", "x"), 16),
        (("queue", 0), 18),
        (("queue", 0, "clients"), 19),
        (("queue", 1), 21),
        (("queue", 1, "max_bytes"), 22),
        (("queue", 1, "when_full"), 21),  # it is not there: its table
        (("listener", 0, "alpn"), 26),
        (("listener", 0, "origins", "b", 0, "c"), 28),
        (("nothing",), 0),
    ],
)
def test_a_place_is_found_in_every_form_that_toml_has_for_it(
    at: tuple[str | int, ...], line: int, tmp_path: Path
) -> None:
    path = tmp_path / "broker.toml"
    path.write_text(READ)
    assert Found(path).line(*at) == line


def test_what_cannot_be_read_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broker.toml"
    path.write_text(FORMS)
    with pytest.raises(ValueError, match=r"broker\.toml: line 11: ") as raised:
        load(path)
    assert not isinstance(raised.value, Mistakes)


def test_all_mistakes_are_told_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "broker.toml"
    path.write_text("stor = 1\nlisten = []\n[limits]\nfilter = 1\nqueue_bytes = 'x'\n[[queue]]\nclients = 1\n")
    with pytest.raises(Mistakes) as raised:
        load(path)
    assert [line.removeprefix(f"{path}: ")[:30] for line in raised.value.lines] == [
        "line 1: there is no key 'stor'",
        "line 2: listen has to be a lis",
        "line 4: [limits]: there is no ",
        "line 5: [limits]: queue_bytes ",
        "line 7: [[queue]] number 1: cl",
    ]
    assert str(raised.value) == raised.value.lines[0] + " (and 4 more; --test-config shows all)"


def test_the_line_in_a_long_file_is_found_with_few_readings(tmp_path: Path) -> None:
    path = tmp_path / "broker.toml"
    path.write_text("".join(f'[[queue]]\nclients = "pump-{number}"\n' for number in range(3000)))
    found = Found(path)
    assert found.line("queue", 2999, "clients") == 6000
    assert found.line("queue", 0) == 1
