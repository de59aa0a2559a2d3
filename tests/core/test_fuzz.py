"""A slice of the fuzzing that `make fuzz` and `make guided` do at length."""

import importlib.util
import logging
import random
from pathlib import Path
from typing import Any

import pytest

from fuzz import brokers, codec5, core, gates, guided, listeners, packets


@pytest.mark.parametrize("seed", [1, 2])
def test_no_stream_of_packets_brings_out_anything_but_an_mqtt_error(seed: int) -> None:
    refused = core.run(seed, 0, 3000)
    assert refused[""] > 100, "some streams are valid"
    assert len(refused) > 20, "and many rules are reached"


@pytest.fixture
def silent(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "mqttlite.broker")


@pytest.mark.source("replaces methods, and looks into objects")
def test_what_the_codec_of_5_reads_it_writes_again_and_nothing_around_a_packet_counts() -> None:
    seeds = codec5.seeds()
    assert {data[0] for data in seeds} == set(range(len(codec5.DECODERS)))
    for data in seeds:
        codec5.one(data)
        read = codec5.outcome(codec5.DECODERS[data[0]], data[1:], 0, len(data) - 1)
        assert not isinstance(read, codec5.Refused), read
    r = random.Random(1)
    for _ in range(5000):
        codec5.one(packets.mutated(r, r.choice(seeds)))


@pytest.mark.source("replaces methods, and looks into objects")
def test_no_client_costs_others_anything_and_nothing_of_it_is_left(silent: None) -> None:
    seeds = brokers.seeds()
    r = random.Random(2)
    for data in seeds:
        brokers.one(data)
        for _ in range(40):
            brokers.one(packets.mutated(r, packets.mutated(r, data)))


@pytest.mark.source("replaces methods, and looks into objects")
@pytest.mark.parametrize("target", [gates, listeners], ids=["gates", "listeners"])
def test_whatever_comes_is_no_error_of_ours_and_who_comes_after_it_is_served(silent: None, target: Any) -> None:
    seeds = target.seeds()
    r = random.Random(3)
    for data in seeds:
        target.one(data)
        for _ in range(10):
            target.one(packets.mutated(r, packets.mutated(r, data)))


@pytest.mark.skipif(not importlib.util.find_spec("atheris"), reason="atheris has no wheel for this Python or platform")
@pytest.mark.source("coverage is measured in it")
@pytest.mark.parametrize(
    ("target", "runs"),
    [("codec", 10_000), ("client", 1000), ("server", 1000), ("broker", 100)],
)
def test_inputs_that_reach_new_code_are_kept_and_nothing_is_found(target: str, runs: int, tmp_path: Path) -> None:
    found = guided.guided(target, runs=runs, corpus=tmp_path / "corpus")
    assert not found.failed, found.said[-4000:]
    assert found.runs >= runs
    assert found.corpus > len(guided.TARGETS[target].seeds()) / 2 and found.covered > 100
