"""The commonest first mistakes at a line, in virtual time: the gateway as it is says what is there within 15 s, again
when it changes, and no more than that in a day.
"""

from collections.abc import Callable
from typing import Any

import pytest

from mqttlite.sim import programs
from mqttlite.sim.check.ledger import Ledger
from mqttlite.sim.lines.serial import BOOT_TEXT, Frame, SerialLine
from mqttlite.sim.timeline import SECOND
from mqttlite.sim.world import World
from mqttlite_gateway.lines import watch
from tests.sim.programs import device as device_program

A, B = "/dev/ttyUSB0", "/dev/ttyACM0"


class Bench:
    """A gateway, a device on its line whose port is opened with `query`, and a broker; what the gateway says of the
    line, with the time in seconds.
    """

    def __init__(self, world: World, query: str, *, device: bool) -> None:
        self.world = world
        self.line = SerialLine(self.world, "device", A, "gateway", B, boot=b"")
        self.said: list[tuple[float, str]] = []
        self.world.process("broker", programs.broker("memory"))
        self.world.process("gateway", programs.gateway(B))
        options: dict[str, Any] = {"url": f"serial://{A}{query}", "store": "memory"}
        self.device = self.world.process("device", device_program(Ledger(), 1, **options), start=device)
        self.device.may_fail = True

    def listen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def heard(_: object, text: str, *args: object, **__: object) -> None:
            self.said.append((self.world.now / SECOND, text % args))

        monkeypatch.setattr("mqttlite_gateway.lines.saying.Saying.warning", heard)

    def findings(self) -> list[tuple[float, str]]:
        return [(at, text) for at, text in self.said if text.startswith("no device")]


def drops(host: str) -> Callable[[Frame], bytes | None]:
    """The wire from this host is missing."""

    def on_frame(frame: Frame) -> bytes | None:
        return b"" if frame.way.source.host == host else None

    return on_frame


def nothing(bench: Bench) -> None:
    """As it is."""


def no_wire_to_device(bench: Bench) -> None:
    bench.line.on_frame = drops("gateway")


def no_wire_from_device(bench: Bench) -> None:
    bench.line.on_frame = drops("device")


def boots_again_and_again(bench: Bench) -> None:
    def boot() -> None:
        bench.line.ab.say(BOOT_TEXT)
        bench.world.after(3, boot)

    bench.world.after(1, boot)


MISTAKES: dict[str, tuple[str, bool, Callable[[Bench], None], str]] = {
    "9600 instead of 115200": ("?baud=9600", True, nothing, "baud rate"),
    "57600 instead of 115200": ("?baud=57600", True, nothing, "115200 the device's baud rate"),
    "921600 instead of 115200": ("?baud=921600", True, nothing, "115200 the device's baud rate"),
    "no wire to the device": ("", True, no_wire_to_device, "device 'device' is heard, but does not hear us"),
    "no wire from the device": ("", True, no_wire_from_device, "nothing arrives"),
    "no device": ("", False, nothing, "nothing arrives"),
    "a boot loop": ("", False, boots_again_and_again, "resets again and again (the last cause: POWERON_RESET)"),
}


def check(bench: Bench, words: str) -> list[str]:
    """What is wrong with what the gateway has said."""
    first = [at for at, text in bench.findings() if words in text]
    wrong = []
    if not first or first[0] > watch.LOOK_S + 1:
        wrong.append(f"'{words}' was not said within {watch.LOOK_S} s: {bench.said}")
    if len(bench.findings()) > 2:
        wrong.append(f"said again and again: {bench.said}")
    return wrong


def bench_of(name: str, world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[Bench, str]:
    query, device, prepare, words = MISTAKES[name]
    bench = Bench(world, query, device=device)
    bench.listen(monkeypatch)
    prepare(bench)
    return bench, words


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_within_15_s_and_not_over_and_over(
    name: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, words = bench_of(name, World(seed), monkeypatch)
    bench.world.run(300)
    assert not check(bench, words)


def test_when_the_wire_is_mended_the_device_connects_and_nothing_more_is_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, words = bench_of("no wire to the device", world, monkeypatch)
    bench.world.run(60)
    bench.line.on_frame = None
    assert bench.world.run_until(lambda: not bench.device.alive, 60)  # it has published, and ended
    bench.world.run(120)
    assert not check(bench, words)


PLANTED: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "only many damaged frames count": lambda patch: patch.setattr(
        "mqttlite.serial.diagnosis._noise", lambda size, pieces, end: _silent_below(size)
    ),
    "nobody looks": lambda patch: patch.setattr(watch, "LOOK_S", 1000.0),
    "said at each look": lambda patch: patch.setattr(
        watch.Watch, "_said", property(lambda _: "", lambda *_: None), raising=False
    ),
}


def _silent_below(size: int) -> object:
    from mqttlite.serial.diagnosis import Finding

    return Finding("noise", "is that the right baud rate?") if size > 600 else Finding("silence", "nothing arrives")


@pytest.mark.parametrize("bug", PLANTED)
def test_the_check_finds_a_planted_bug(bug: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = watch.LOOK_S
    PLANTED[bug](monkeypatch)
    if bug == "said at each look":
        monkeypatch.setattr(watch, "PAUSE_MAX_S", 0.0)
    bench, words = bench_of("921600 instead of 115200", world, monkeypatch)
    bench.world.run(300)
    monkeypatch.setattr(watch, "LOOK_S", allowed)
    assert check(bench, words)
