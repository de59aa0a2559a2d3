"""What a script of bytes does to some connections with a broker's engine: that of brokers.py and of gates.py.

Each step is a byte that says what happens to which of them, and what that takes: bytes arrive, the network is lost,
time passes, the output stands still.
"""

from collections.abc import Callable, Iterator

from tests.broker.world import Wire, World


def steps(
    data: bytes,
    world: World,
    slots: list[Wire | None],
    names: list[str],
    waits_ms: Callable[[int], int],
    most: int,
) -> Iterator[tuple[Wire, bytes] | None]:
    """One step after the other, `most` at most. `slots`: the connections, which it opens under these names. When bytes
    arrive, whose and which, for the caller to feed them; None: the step has been done. `waits_ms`: of a step's byte.
    """
    at = 0
    for _ in range(most):
        if at >= len(data):
            return
        step = data[at]
        at += 1
        slot = step % len(slots)
        what = step // len(slots) % 8
        wire = slots[slot]
        if what < 5:
            size = data[at] if at < len(data) else 0
            read = data[at + 1 : at + 1 + size]
            at += 1 + size
            if wire is None or wire.closed:
                wire = slots[slot] = world.open(names[slot])
            yield wire, read
            continue
        if what == 5 and wire and not wire.closed:
            wire.cut()
            slots[slot] = None
        elif what == 6:
            world.wait(waits_ms(step))
        elif what == 7 and wire and not wire.closed:
            wire.unwritten = 0 if wire.unwritten else 1 << 20
            wire.writable(not wire.unwritten)
        yield None
