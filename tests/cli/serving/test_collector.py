"""A server's collector looks seldom, and at what has come since it began."""

import gc
import weakref

from mqttlite.cli.serving import collector


class Node:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


def test_messages_that_wait_are_not_looked_at_again_and_again_but_cycles_are_freed() -> None:
    before = gc.get_threshold()
    looks: list[int] = []

    def look(phase: str, info: dict[str, int]) -> None:
        looks.append(info["generation"])

    with collector.looks_seldom():
        gc.callbacks.append(look)
        try:
            waiting = [(b"head", b"payload %d" % number, b"") for number in range(collector.OBJECTS // 2)]
            assert not looks
            dead = weakref.ref(Node())
            cycles = [[waiting] for _ in range(2 * collector.OBJECTS)]
            assert dead() is None
        finally:
            gc.callbacks.remove(look)
    assert len(cycles) == 2 * collector.OBJECTS
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
