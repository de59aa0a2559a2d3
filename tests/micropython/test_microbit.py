"""The codec on QEMU's micro:bit; `make qemu` installs what that needs."""

import pytest

from benchmarks import microbit


@pytest.mark.skipif(bool(microbit.missing()), reason=f"{microbit.missing()} is not installed (make qemu installs it)")
@pytest.mark.parametrize("group", microbit.GROUPS)
def test_a_microcontroller_with_nine_kilobytes_of_heap_gives_the_bytes_that_cpython_gives(group: str) -> None:
    wrong, left = microbit.compare(group)
    assert not wrong and left > 0
