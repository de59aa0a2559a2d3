"""Python's collector of cyclic garbage in a program that does nothing but serve."""

import contextlib
import gc
from collections.abc import Iterator

OBJECTS = 10_000  # made and not freed, between two looks at the youngest; Python's own 700 are a turn's messages


@contextlib.contextmanager
def looks_seldom() -> Iterator[None]:
    """What is there now stays, and is not looked at again; what comes later less often. Messages are no cycles, and
    those that wait were looked at again and again: up to a tenth of a broker's time. Connections are, and there are a
    hundred or two of them before they are freed.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
