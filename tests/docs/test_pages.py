"""All pages: commands are understood, what is named is there, links lead somewhere, programs run in a test."""

import argparse
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from mqttlite.cli import COMMANDS, main, parser_of
from tests.docs.pages import PAGES, codes, commands, programs, text_of
from tests.runtimes import ROOT

TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
RUN_BY = {  # pages with programs, and what runs them
    "README.md": "test_readme",
    "access.md": "test_access",
    "authentication.md": "test_authentication",
    "board.md": "test_board",
    "client.md": "test_client",
    "from-aiomqtt.md": "test_movers",
    "from-mqtt_as.md": "test_movers",
    "from-paho.md": "test_movers",
    "from-umqtt.md": "test_movers",
    "guarantees.md": "test_guarantees",
    "ledger.md": "test_ledger",
    "operating.md": "test_operating",
    "queues.md": "test_queues",
    "server.md": "test_server",
    "simulator.md": "test_simulator",
    "testing.md": "../testing/test_plugin",
    "tls.md": "test_tls",
}
FOLDERS = ("benchmarks/", "docs/", "examples/", "firmware/", "fuzz/", "hardware/", "mqttlite/", "tests/")
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


@each_page
def test_programs_of_a_page_run_in_a_test(page: Path) -> None:
    if programs(page):
        assert (Path(__file__).parent / f"{RUN_BY[page.name]}.py").exists()


@each_page
def test_commands_of_a_page_are_understood(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in commands(page, "mqttlite"):
        if words[0].endswith(":") or words[0][0].isdigit():  # what a command says: an error, its version
            continue
        if words[0].startswith("-"):  # of no command
            assert main(words) == 0
            continue
        try:
            args = parser_of(words[0]).parse_args(words[1:])
        except SystemExit:
            pytest.fail(f"mqttlite {shlex.join(words)}: {capsys.readouterr().err}")
        assert callable(args.run)


def options(parser: argparse.ArgumentParser) -> set[str]:
    """Those of a command and of its own commands; the names of these, too."""
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found.update(action.choices, *map(options, action.choices.values()))
    return found


@each_page
def test_options_that_a_page_names_are_there(page: Path) -> None:
    for code in codes(page):
        words = code.split()
        if words[0] == "mqttlite" and words[1:] and words[1][0].isalpha():
            assert words[1] in COMMANDS, code
            known = options(parser_of(words[1]))
            for word in words[2:]:
                assert not word.startswith("-") or word.partition("=")[0] in known, code


@each_page
def test_targets_of_make_and_modules_that_a_page_names_are_there(page: Path) -> None:
    text = text_of(page)
    inside = "\n".join(codes(page))
    indented = re.sub("^(?! {4}).*$", "", text, flags=re.MULTILINE)
    for name in re.findall(r"^ *make ([a-z][\w-]*)", indented + inside, re.M):
        assert name in TARGETS, name
    for name in re.findall(r"python3? -m ([\w.]+)", text):
        assert importlib.util.find_spec(name), name


@each_page
def test_files_that_a_page_names_are_there(page: Path) -> None:
    tests = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    for code in codes(page):
        if code.startswith(FOLDERS) and re.fullmatch(r"[\w./-]+", code):
            places = (ROOT / code, ROOT / f"{code}.py", page.parent / code)
            assert any(place.exists() for place in places), code
        elif re.fullmatch(r"test_\w+\.py", code):
            assert code in tests, code


@each_page
def test_links_of_a_page_lead_to_files_that_are_there(page: Path) -> None:
    for link, part in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", text_of(page)):
        if "://" in link:
            continue
        target = page.parent / link if link else page
        assert target.exists(), link
        if part:
            titles = re.findall(r"^#+ (.*)$", text_of(target), re.MULTILINE)
            assert part in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, part
