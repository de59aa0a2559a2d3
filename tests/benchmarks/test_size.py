"""What a bundle may weigh: bytes of .mpy and of heap. Sizes are no timings: the same source gives the same ones."""

from typing import NamedTuple

import pytest

from benchmarks import size
from tests import runtimes
from tests.peers import unavailable
from tests.variants.variants import library


class Limits(NamedTuple):
    """The most in bytes: .mpy that `import mqttlite` loads, all .mpy, heap after the import and once connected."""

    loaded: int
    whole: int
    imported: int
    connected: int


# Reached, and a little more, so that a line more is no failure. Lower them with what is gained.
LIMITS = {
    "thin": Limits(11_100, 23_800, 15_600, 19_800),
    "thin+journal": Limits(14_200, 36_200, 19_700, 25_300),
    "thin+serial": Limits(11_900, 38_500, 16_400, 21_700),  # 2.2 kB of it for a bus, which only its devices load
    "thin+v5": Limits(12_500, 31_000, 17_600, 23_000),
    "thin+stream": Limits(12_000, 31_100, 16_900, 22_300),  # 0.7 kB that keep what comes before receive_stream
    "all": Limits(17_500, 64_000, 24_600, 29_000),  # with 5.0 and TLS, which a program that has neither does not load
}


@pytest.fixture(autouse=True)
def _board() -> None:
    if not runtimes.built(size.BITS).exists():
        unavailable(f"MicroPython ({size.BITS} bits, build/board)")


@pytest.mark.parametrize("name", LIMITS)
async def test_a_bundle_weighs_no_more_than_it_did(name: str) -> None:
    subject = size.Subject(name, library(name))
    loaded, rest = subject.sizes()
    async with size.bench() as bench:
        found = Limits(loaded, loaded + rest, await bench.imported(subject), await bench.connected(subject))
    assert all(one <= most for one, most in zip(found, LIMITS[name], strict=True)), found
