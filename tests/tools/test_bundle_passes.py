"""The passes of tools/bundle, on small programs: what they leave, and that it does the same."""

import sys
import types
from collections.abc import Mapping
from pathlib import Path

import pytest

from mqttlite.client import board_errors
from tests.runtimes import ROOT
from tools.bundle import SETS, building, tracing
from tools.bundle import texts as texts_pass
from tools.bundle.program import BundleError
from tools.bundle.sets import FeatureSet

CONST = {"core/__init__.py": "def const(value):\n    return value\n", "__init__.py": ""}


def texts(
    folder: Path,
    files: Mapping[str, str],
    *,
    short: bool = False,
    flags: Mapping[str, int] | None = None,
    **public: str,
) -> dict[str, str]:
    """The parts of the program in `files` (by path), whose public names are `public` (name="module")."""
    for path, text in {**CONST, **files}.items():
        target = folder / "mqttlite" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    names = {name: (f"mqttlite.{module}", name) for name, module in public.items()}
    features = FeatureSet("test", frozenset(name for name, value in (flags or {}).items() if value), names)
    merged, renamed = building.transformed(features, folder, short)
    return tracing.written(merged, renamed)[0]


def run(parts: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The main part as a package that finds the others."""
    package = types.ModuleType("bundle_under_test")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, package.__name__, package)
    for name, text in parts.items():
        module = package if name == "__init__" else types.ModuleType(f"{package.__name__}.{name}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        module.__package__ = package.__name__
        exec(compile(text, name, "exec"), module.__dict__)
    return package


def test_a_constant_of_another_module_becomes_its_number(tmp_path: Path) -> None:
    files = {
        "kinds.py": "from .core import const\nA = const(4)\nB = const(A << 8 | 1)\n",
        "use.py": "from .kinds import A, B\nTABLE = {A: B}\ndef answer():\n    return TABLE[A] + B\n",
    }
    found = texts(tmp_path, files, answer="use")
    assert list(found) == ["__init__"]
    assert "{4: 1025}" in found["__init__"]
    assert "const" not in found["__init__"]


def test_a_name_that_is_bound_twice_is_no_constant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"use.py": "COUNT = 0\ndef answer():\n    global COUNT\n    COUNT += 1\n    return COUNT\n"}
    module = run(texts(tmp_path, files, answer="use"), monkeypatch)
    assert [module.answer(), module.answer()] == [1, 2]


FLAGGED = {
    "core/features.py": "from . import const\nKEYS = const(1)\n",
    "use.py": """
from .core.features import KEYS
class Thing:
    def __init__(self, key):
        self._key = key if KEYS else None
    def answer(self):
        if self._key is not None:
            from .rare import keyed
            return keyed(self._key)
        return 0
""",
    "rare.py": "def keyed(key):\n    return key + 1\n",
}


def test_code_behind_a_flag_that_is_0_goes_and_all_that_only_it_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = texts(tmp_path, FLAGGED, flags={"KEYS": 0}, Thing="use")
    assert list(off) == ["__init__"]
    assert "key" not in off["__init__"].replace("def __init__(self, key)", "")
    assert run(off, monkeypatch).Thing(1).answer() == 0


def test_a_counter_that_nothing_reads_goes_whatever_is_added_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "stats.py": "class Stats:\n    def __init__(self):\n        self.bytes = self.frames = 0\n",
        "use.py": "from .stats import Stats\nstats = Stats()\n"
        "def answer(data):\n    stats.bytes += len(data)\n    stats.frames += 1\n    return stats.frames\n",
    }
    found = texts(tmp_path, files, answer="use")
    assert "bytes" not in found["__init__"]
    assert run(found, monkeypatch).answer(b"abc") == 1


def test_what_is_imported_in_a_function_is_a_file_of_its_own_that_is_loaded_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = texts(tmp_path, FLAGGED, flags={"KEYS": 1}, Thing="use")
    assert sorted(on) == ["__init__", "rare"]
    assert "from .rare import" in on["__init__"]
    assert run(on, monkeypatch).Thing(1).answer() == 2


SHORTENED = {
    "use.py": """
import time
class Counter:
    def __init__(self, start=0):
        self.value_now = self._first_value = start
        self._entries = []
    def add(self, amount_given):
        self._remember(amount_given)
        if amount_given > 99:
            self._remember(0)
        return self
    def _remember(self, amount_given):
        self._entries.append(amount_given)
        self.value_now = self._first_value + sum([entry for entry in self._entries])
def counted(start):
    helper_name = _helper_function(start)
    return helper_name.add(2) or _helper_function(start)
def _helper_function(start):
    return Counter(start=start)
"""
}


def test_private_names_become_names_of_the_firmware_and_public_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = texts(tmp_path, SHORTENED, short=True, Counter="use", counted="use")
    text = found["__init__"]
    for private in ("_remember", "_entries", "_first_value", "_helper_function"):
        assert private not in text
    assert "import time" not in text  # which nothing uses
    module = run(found, monkeypatch)
    assert module.counted(start=40).add(amount_given=1).value_now == 43


def test_a_line_of_a_bundle_is_traced_back_to_its_source(tmp_path: Path) -> None:
    texts(tmp_path, SHORTENED, Counter="use")
    merged, names = building.transformed(
        FeatureSet("t", frozenset(), {"Counter": ("mqttlite.use", "Counter")}), tmp_path
    )
    parts, trace = tracing.written(merged, names)
    line = next(n for n, text in enumerate(parts["__init__"].splitlines(), 1) if "sum(" in text)
    assert [line, "mqttlite/use.py", 14] in trace["lines"]["mqttlite"]  # type: ignore[index]
    assert any("_remember" in found for found in trace["names"].values())  # type: ignore[attr-defined]


def test_a_short_name_that_stands_for_itself_too_has_both_meanings_in_the_trace(tmp_path: Path) -> None:
    texts(tmp_path, SHORTENED, Counter="use")
    files = {"use.py": SHORTENED["use.py"].replace("self._entries.append", "self._entries.copy().append")}
    (tmp_path / "mqttlite" / "use.py").write_text(files["use.py"])
    features = FeatureSet("t", frozenset(), {"Counter": ("mqttlite.use", "Counter")})
    merged, names = building.transformed(features, tmp_path)
    meanings = tracing.written(merged, names)[1]["names"]
    assert isinstance(meanings, dict)
    assert names.unchanged >= {"append", "copy", "add", "value_now"}
    assert all(found[0] == short for short, found in meanings.items() if short in names.unchanged)


VERSIONS = {
    "core/features.py": "from . import const\nV5 = const(1)\n",
    "core/wire4.py": "level = 4\ndef encode(text):\n    return text\n",
    "core/wire5.py": "level = 5\ndef encode(text):\n    return text * 2\ndef never(text):\n    return text\n",
    "use.py": """
from .core import wire4
from .core.features import V5
class Protocol:
    def __init__(self, wire=wire4):
        self.wire = wire
    def answer(self, text):
        return self.wire.encode(text) * self.wire.level
def protocol(version):
    wire = wire4
    if V5 and version == 5:
        from .core import wire5 as wire
    return Protocol(wire)
""",
}


def test_a_module_that_is_used_as_a_value_is_a_class_of_what_is_asked_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for short in (False, True):
        found = texts(tmp_path, VERSIONS, short=short, flags={"V5": 1}, protocol="use", Protocol="use")
        assert sorted(found) == ["__init__", "wire5"]
        assert "never" not in found["wire5"]
        module = run(found, monkeypatch)
        assert [module.protocol(version).answer("a") for version in (4, 5)] == ["aaaa", "aaaaaaaaaa"]


def test_what_only_ever_holds_one_module_is_that_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = texts(tmp_path, VERSIONS, flags={"V5": 0}, protocol="use", Protocol="use")
    assert list(found) == ["__init__"]
    assert "wire." not in found["__init__"]
    assert run(found, monkeypatch).protocol(4).answer("a") == "aaaa"


ONCE = {
    "use.py": """
class Base:
    limit = 5
    def __init__(self, start):
        self.seen = [start]
    def note(self, value):
        self.seen.append(value)
class Thing(Base):
    def __init__(self, start):
        Base.__init__(self, start + 1)
        self.last = 0
    def note(self, value):
        super().note(value)
        self.last = value
    def add(self, value):
        found = self._checked(value, twice=True)
        self._maybe(found)
        return _sign(found)
    def _checked(self, value, twice=False):
        if value > self.limit:
            return -1
        for _ in range(2 if twice else 1):
            self.note(value)
        return value
    def _maybe(self, value):
        if value < 0:
            return
        value += 1
        self.note(value)
def _sign(value):
    return value < 0
"""
}


def test_what_is_called_once_and_a_base_with_one_subclass_are_merged_and_do_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = texts(tmp_path, ONCE, Thing="use")
    for gone in ("Base(", "(Base", "def _checked", "def _maybe", "def _sign", "super()"):
        assert gone not in found["__init__"]
    thing = run(found, monkeypatch).Thing(1)
    assert [thing.add(3), thing.add(6), thing.seen, thing.last] == [False, True, [2, 3, 3, 4], 4]


def test_what_is_returned_out_of_a_loop_is_not_inlined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "use.py": """
def answer(values):
    first = _first(values)
    return first
def _first(values):
    for value in values:
        if value:
            return value
"""
    }
    found = texts(tmp_path, files, answer="use")
    assert "def _first" in found["__init__"]
    assert run(found, monkeypatch).answer([0, 3]) == 3


def test_sentences_are_numbers_with_their_values_in_brackets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "use.py": """
def answer(what, ms):
    texts = ["no answer", "no answer to " + what + " within " + str(ms) + " ms", "%s; again in %02d %%" % (what, ms)]
    return [*texts, "x y"]
"""
    }
    table = tmp_path / "mqttlite" / "client" / "board_errors.json"
    table.parent.mkdir(parents=True)
    table.write_text('{"1": "no answer"}')
    found = run(texts(tmp_path, files, answer="use"), monkeypatch).answer("PINGREQ", 5)
    assert found == ["E1", "E2[PINGREQ|5]", "E3[PINGREQ|05]", "x y"]
    monkeypatch.setattr(board_errors, "texts", lambda: {1: "no answer", 2: "no answer to {} within {} ms"})
    assert board_errors.explained(found[1]) == "no answer to PINGREQ within 5 ms"


@pytest.mark.long
def test_every_sentence_of_the_bundles_has_its_number_in_the_table() -> None:
    table = texts_pass.Table(ROOT / texts_pass.TABLE)
    known = len(table.numbers)
    building.transformed(SETS["all"], table=table)
    assert list(table.numbers)[known:] == [], "python -m tools.bundle all -o build/bundle/all adds them"


WHOLE = {
    "life.py": """
class Life:
    on_end: object
    def __init__(self, name: str, log: object) -> None:
        self.name = name
        self.log = log
        self.error = None
        self.count = 0
    def end(self, error: str) -> None:
        self.error = error
        self.on_end(error)
        self.log(error)
""",
    "incoming.py": """
from .life import Life
class Incoming:
    def __init__(self, life: "Life") -> None:
        self.life = life
        self.count = 10
        life.on_end = self.ended
    def take(self, step: int) -> int:
        life = self.life
        if life.error:
            return -1
        self.count += step
        life.count += 1
        return self.count * 100 + life.count
    def ended(self, error: str) -> None:
        self.count = -len(error)
""",
    "rare.py": """
from .life import Life
def counted(life: "Life") -> int:
    return life.count
""",
    "use.py": """
from .incoming import Incoming
from .life import Life
class Client:
    def __init__(self, name: str) -> None:
        self.said = []
        self._life = life = Life(name, self.say)
        self._incoming = Incoming(life)
    def say(self, text: str) -> None:
        self.said.append(text)
    def take(self, step: int) -> int:
        return self._incoming.take(step)
    def end(self, error: str) -> None:
        self._life.end(error)
    def counts(self) -> "list[int]":
        from .rare import counted
        return [counted(self._life), self._incoming.count]
""",
}


def test_objects_that_are_parts_of_one_become_one_and_do_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = texts(tmp_path, WHOLE, Client="use")
    assert "class Life" not in found["__init__"] + found["rare"]
    assert "class Incoming" not in found["__init__"]
    assert "_on_end" not in found["__init__"]  # the event has become a call
    client = run(found, monkeypatch).Client("a")
    assert [client.take(1), client.take(1), client.counts()] == [1101, 1202, [2, 12]]
    client.end("over")
    assert [client.take(1), client.counts(), client.said] == [-1, [2, -4], ["over"]]


def test_an_attribute_that_could_be_of_two_parts_stops_the_build(tmp_path: Path) -> None:
    files = {**WHOLE, "rare.py": "def counted(life):\n    return life.count\n"}
    with pytest.raises(BundleError, match=r"rare\.py:2: counted__rare: whose '\.count' is it"):
        texts(tmp_path, files, Client="use")


def test_the_constructor_is_a_file_that_is_dropped_and_public_attributes_keep_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "use.py": """
from .place import Place
class Client:
    def __init__(self, url: str, *, word: str = "a") -> None:
        self.url = Place(url)
        self.word = _checked(word)
    def answer(self) -> str:
        return self.url.host + self.word
def _checked(word):
    if word == "b":
        raise ValueError("no")
    return word * 2
""",
        "place.py": "class Place:\n    def __init__(self, text):\n        self.host = text[3:]\n",
    }
    for path, text in {**CONST, **files}.items():
        (tmp_path / "mqttlite" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mqttlite" / path).write_text(text)
    public = {"Client": ("mqttlite.use", "Client")}
    features = FeatureSet("test", frozenset(), public, drops_constructor=True)
    for short in (False, True):
        found = tracing.written(*building.transformed(features, tmp_path, short))[0]
        assert sorted(found) == ["__init__", "setup"]
        assert "ValueError" not in found["__init__"]
        module = run(found, monkeypatch)
        assert module.Client("a//host", word="x").answer() == "hostxx"
        assert "bundle_under_test.setup" not in sys.modules
