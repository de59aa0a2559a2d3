"""What an application can do with a bundle is what it can do with the source: the same results, the same errors."""

from pathlib import Path

import pytest

from mqttlite.client.board_errors import explained
from tests import peers, runtimes
from tests.peers import MicroPython, Mosquitto, free_port
from tests.variants.harness import APPS
from tests.variants.variants import SOURCE, VARIANTS, features, library

ALL = ("JOURNAL", "KEYS", "DOUBTS", "MANUAL_ACK", "V5")


async def said(variant: str, bits: int, folder: Path, wanted: list[str]) -> list[str]:
    """What apps/public.py prints, in words."""
    with Mosquitto(folder / "broker", persistence=False) as broker:
        words = [str(broker.port), str(free_port()), *wanted]
        argv = runtimes.micropython_argv(MicroPython(bits).program, APPS / "public.py", words, heap="1m")
        env = runtimes.micropython_env([APPS, library(variant)])
        done = await peers.run(*argv, env=env, folder=folder, check=False)
    lines = explained(done.stdout).splitlines()
    assert lines[-1:] == ["end"], done.stdout + done.stderr
    ports = broker.port, words[1]
    for number, port in enumerate(ports):
        lines = [line.replace(str(port), f"PORT{number}") for line in lines]
    return lines


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("variant", VARIANTS[1:])
async def test_an_application_gets_the_same_results_and_errors(variant: str, bits: int, tmp_path: Path) -> None:
    wanted = [name for name in ALL if name in features(variant)]
    of_source = await said(SOURCE, 64, tmp_path / "source", wanted)
    assert await said(variant, bits, tmp_path / "bundle", wanted) == of_source
