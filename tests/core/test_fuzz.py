"""A slice of the fuzzing that `make fuzz` does at length."""

import pytest

from fuzz import core


@pytest.mark.parametrize("seed", [1, 2])
def test_no_stream_of_packets_brings_out_anything_but_an_mqtt_error(seed: int) -> None:
    refused = core.run(seed, 0, 3000)
    assert refused[""] > 100, "some streams are valid"
    assert len(refused) > 20, "and many rules are reached"
