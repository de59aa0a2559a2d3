"""What docs/pi.md and gateway/gateway.example.toml say of the gateway's file."""

import re
from pathlib import Path

import pytest

from mqttlite_gateway.config import TABLES, load
from mqttlite_gateway.reloading import OF_BROKER, RESTART
from mqttlite_gateway.settings.port import TRUST
from mqttlite_gateway.settings.upstream import UpstreamSettings
from tests.docs.pages import text_of
from tests.runtimes import ROOT

EXAMPLE = ROOT / "gateway" / "gateway.example.toml"
FORWARD_ALONE = ("upstream = ", "ca = ", "fingerprint = ", "certificate = ", "key_file = ", "[tls]")


def whole_example() -> str:
    """The example with all of it but what is of forward mode; keys above the first table go there."""
    text = re.sub(r"^#(?=[\w.]+ = |\[)", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line for line in text.splitlines() if not line.startswith(FORWARD_ALONE)]
    top = [line for line in lines if line.startswith(("mode = ", "store = ", "listen = ["))]
    return "\n".join([*top, *(line for line in lines if line not in top)])


def test_the_example_is_understood_with_all_that_is_commented_out(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(whole_example())
    path.chmod(0o600)
    config = load(path)
    (upstream,) = config.upstreams
    default = UpstreamSettings("x", "mqtt://x", out=upstream.out)
    for name in ("queue_bytes", "when_full", "max_age_s", "rate", "start_jitter_s"):
        assert getattr(upstream, name) == getattr(default, name), f"{name}: the example shows the default"
    assert [rule.words for rule in config.wanted] == ["USB id 10c4:ea60, serial number 0001", "path /dev/ttyACM*"]
    assert all(f'"{word}"' in EXAMPLE.read_text(encoding="utf-8") for word in TRUST)


def test_the_pages_file_is_understood(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```$", text_of("docs/pi.md"), re.MULTILINE | re.DOTALL)
    path = tmp_path / "gateway.toml"
    path.write_text(block)
    config = load(path)
    assert config.is_bridge and config.wanted
    (upstream,) = config.upstreams
    assert upstream.out and upstream.inwards


@pytest.mark.parametrize("name", [*RESTART, *OF_BROKER])
def test_the_page_names_what_needs_a_restart(name: str) -> None:
    (line,) = re.findall(r"^.*A restart is needed for another (.*?)\.", text_of("docs/pi.md"), re.MULTILINE | re.DOTALL)
    assert re.search(rf"`\[?{name}\]?`", line), name


def test_each_key_of_the_file_has_a_reader() -> None:
    keys = [key for table in TABLES for key in table.KEYS]
    assert len(keys) == len(set(keys))
