"""The link under noise from any seed, and under every loss and every restart in small worlds."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mqttlite.link import frames, link, stream
from mqttlite.link.frames import DATA, LOG, MAX_FRAME, MQTT, OVERHEAD, decode, encode
from mqttlite.link.link import Link
from mqttlite.link.words import LINK_REASONS, STREAM_REASONS, link_reason, stream_reason
from mqttlite.sim.lines.noise import Noise
from tests.link.ends import End, Talker, joined, pattern, until
from tests.link.virtual_line import VirtualLine

PROPERTY = settings(max_examples=60, deadline=None)


@PROPERTY
@given(payload=st.binary(max_size=MAX_FRAME - OVERHEAD), gaps=st.integers(0, 65535), credit=st.integers(-1, 65535))
def test_a_frame_decodes_to_what_was_encoded(payload: bytes, gaps: int, credit: int) -> None:
    frame = encode(DATA | MQTT, 1, 2, 3, gaps, credit, payload, in_front=1)
    assert frame[0] == frame[-1] == 0
    assert 0 not in frame[1:-1]
    assert len(frame) <= MAX_FRAME + 1
    buffer = frame[1:-1]
    size = len(buffer)
    start = decode(buffer, size)
    assert bytes(buffer[start : size - 4]) == payload
    assert (frames.gaps_in(buffer), frames.credit_in(buffer, start)) == (gaps, credit)


@PROPERTY
@given(garbage=st.lists(st.binary(max_size=300), max_size=12), up=st.booleans())
def test_no_garbage_raises_or_becomes_data(garbage: list[bytes], up: bool) -> None:
    a, b = End(1), End(2)
    if up:
        joined(a, b)
    for now, portion in enumerate(garbage, 100):
        a.link.receive(portion, now)
        a.link.transmit(now)
    assert not a.got[MQTT]
    assert a.downs == []


@PROPERTY
@given(
    seed=st.integers(0, 2**32),
    bit_errors=st.sampled_from([0.0, 1e-5, 1e-4, 4e-4]),
    dropped=st.sampled_from([0.0, 1e-3, 3e-3]),
    bursts=st.sampled_from([0.0, 2e-4]),
    portions=st.lists(st.integers(1, 200), min_size=1, max_size=30),
    frame_size=st.integers(32, 255),
    window=st.integers(1, 16),
    latency_ms=st.integers(0, 30),
    chunk=st.integers(1, 40),
)
def test_bytes_arrive_exactly_whatever_the_line_does(
    seed: int,
    bit_errors: float,
    dropped: float,
    bursts: float,
    portions: list[int],
    frame_size: int,
    window: int,
    latency_ms: int,
    chunk: int,
) -> None:
    def noise(number: int) -> Noise:
        return Noise(seed + number, bit_errors=bit_errors, dropped=dropped, bursts=bursts, inserted=dropped / 4)

    a = End(seed & 0xFFFF | 1 << 20, frame_size=frame_size, window=window)
    b = End(2, frame_size=128, receive_window=512)
    in_portions(a.link, chunk)
    in_portions(b.link, chunk + 3)
    line = joined(a, b, latency_ms=latency_ms, noise_ab=noise(1), noise_ba=noise(2))
    there = back = 0
    whole = pattern(sum(portions))
    waiting = list(portions)
    while len(b.got[MQTT]) < len(whole) or len(a.got[MQTT]) < len(whole):
        if waiting:
            taken = a.link.send(MQTT, whole[there : there + waiting[0]])
            there += taken
            waiting[0] -= taken
            if not waiting[0]:
                waiting.pop(0)
        back += b.link.send(MQTT, whole[back : back + 50])
        line.step()
        assert line.now < 600_000
    line.run(100)
    assert b.got[MQTT] == a.got[MQTT] == whole
    assert a.downs == b.downs == []


def in_portions(link: Link, size: int) -> None:
    """Makes the line bring its bytes in portions of `size`."""
    whole = link.receive

    def receive(data: bytes | bytearray, now: int) -> None:
        for at in range(0, len(data), size):
            whole(data[at : at + size], now)

    link.receive = receive  # type: ignore[method-assign]


def exchange(lost_ab: tuple[int, ...], lost_ba: tuple[int, ...]) -> tuple[End, End, VirtualLine]:
    """A short transfer in both directions that loses the frames with these numbers, counted from the very first SYN."""
    a, b = End(1, frame_size=32), End(2, frame_size=32)
    line = VirtualLine(a.link, b.link)
    line.ab.cut = lambda frame, number: b"" if number in lost_ab else frame
    line.ba.cut = lambda frame, number: b"" if number in lost_ba else frame
    until(line, lambda: a.link.up and b.link.up)
    a.link.send(MQTT, pattern(90))
    b.link.send(MQTT, pattern(40, 9))
    until(line, lambda: len(b.got[MQTT]) >= 90 and len(a.got[MQTT]) >= 40, limit_ms=20000)
    line.run(500)
    return a, b, line


NUMBERS = range(14)
LOSSES = [(), *[(i,) for i in NUMBERS], *combinations(NUMBERS, 2)]


@pytest.mark.parametrize("way", ["ab", "ba", "both"])
def test_every_single_loss_and_every_pair_is_repaired(way: str) -> None:
    for lost in LOSSES:
        a, b, _ = exchange(lost if way != "ba" else (), lost if way != "ab" else ())
        assert b.got[MQTT] == pattern(90), lost
        assert a.got[MQTT] == pattern(40, 9), lost
        assert len(a.ups) == len(b.ups) == 1, lost


@pytest.mark.parametrize("restarting", ["a", "b"])
def test_nothing_stale_arrives_when_an_end_restarts_at_any_step(restarting: str) -> None:
    """At every step of a transfer: what was under way stays on the line, and none of it may be taken for new."""
    for step in range(130):
        a, b = End(1, frame_size=32), End(2, frame_size=32)
        line = VirtualLine(a.link, b.link)
        sent = False
        for _ in range(step):
            if a.link.up and b.link.up and not sent:
                sent = True
                a.link.send(MQTT, b"a" * 150)
                b.link.send(MQTT, b"b" * 150)
            line.step()
        new = End(1000 + step, frame_size=32)
        old, other = (a, b) if restarting == "a" else (b, a)
        line.replace(old.link, new.link)
        until(
            line, lambda new=new, other=other: new.link.up and other.link.up and other.link.peer.epoch == new.link.epoch
        )
        new.link.send(MQTT, b"n" * 60)
        other.link.send(MQTT, b"o" * 60)
        until(line, lambda new=new, other=other: len(new.got[MQTT]) >= 60 and len(other.got[MQTT]) >= 60)
        line.run(1000)
        assert new.got[MQTT] == b"o" * 60, step
        assert other.got[MQTT] == b"n" * 60, step
        assert len(other.downs) == len(other.ups) - 1


@PROPERTY
@given(
    receive_window=st.integers(128, 700),
    consumption=st.lists(st.integers(0, 400), min_size=1, max_size=20),
    seed=st.integers(0, 1000),
)
def test_what_is_outstanding_never_exceeds_the_receive_window(
    receive_window: int, consumption: list[int], seed: int
) -> None:
    a, b = End(1, window=16), End(2, consume=False, receive_window=receive_window)
    line = joined(a, b, noise_ab=Noise(seed, bit_errors=1e-4), noise_ba=Noise(seed + 1, bit_errors=1e-4))
    consumed = sent = 0
    for amount in [*consumption, 0]:
        end = line.now + 150
        while line.now < end:
            sent += a.link.send(MQTT, pattern(200))
            line.step()
            assert a.link._sender._sent_bytes - consumed <= receive_window
            assert len(b.got[MQTT]) - consumed <= receive_window
        amount = min(amount, len(b.got[MQTT]) - consumed)
        b.link.consumed(amount)
        consumed += amount


def test_a_peer_that_ignores_credit_fills_no_memory() -> None:
    a, b = End(1), End(2, consume=False, receive_window=128)
    joined(a, b)
    a.link._sender._peer_window = 30000
    for now in range(1000, 60000, 20):
        a.link.send(MQTT, pattern(500))
        b.link.receive(a.link.transmit(now), now)
    assert len(b.got[MQTT]) <= 128
    assert len(b.link._receiver._early) <= frames.MAX_WINDOW


def test_the_smaller_frame_size_holds() -> None:
    a, b = End(1, frame_size=255, receive_window=2000), End(2, frame_size=64, receive_window=2000)
    line = joined(a, b)
    sizes = []
    line.ab.cut = lambda frame, number: sizes.append(len(frame)) or frame
    a.link.send(MQTT, pattern(1000))
    until(line, lambda: len(b.got[MQTT]) == 1000)
    assert max(sizes) <= 65  # the 0x00 after an idle line comes on top


def test_an_idle_line_is_almost_silent() -> None:
    a, b = End(1), End(2)
    line = joined(a, b)
    line.run(1000)
    before = line.ab.bytes + line.ba.bytes
    line.run(60_000)
    assert line.ab.bytes + line.ba.bytes - before < 60 * 60


def test_a_wrong_baud_rate_shows_as_damage_without_one_frame() -> None:
    a = End(1)
    noise = Noise(3, bit_errors=0.09)
    for now in range(0, 20000, 10):
        a.link.receive(noise.apply(bytes(frame_of_another(now))), now)
    assert a.link.stats.received == 0
    assert a.link.stats.damaged + a.link.stats.garbage_bytes > 0


def frame_of_another(now: int) -> bytearray:
    return Link(7).transmit(now)


def test_messages_of_an_earlier_connection_change_nothing() -> None:
    """Both sides close at once, and the device opens again at once: at each step of time between the two closings."""
    for delay_ms in range(0, 60, 3):
        device, gateway = Talker(1), Talker(2)
        line = joined(device, gateway)
        assert device.stream.open()
        until(line, lambda gateway=gateway: gateway.events)
        gateway.stream.accept(1)
        until(line, lambda device=device: device.stream.state == stream.OPEN)
        gateway.stream.send(b"old" * 200)
        device.stream.send(b"OLD" * 200)
        gateway.stream.close(stream.UPSTREAM_CLOSED)
        line.run(delay_ms)
        device.stream.close()
        device.got = bytearray()
        assert device.stream.open()
        until(line, lambda gateway=gateway: gateway.events[-1] == ("open", 2))
        gateway.got = bytearray()
        assert not gateway.stream.accept(1)
        assert gateway.stream.accept(2)
        until(line, lambda device=device: device.stream.state == stream.OPEN)
        gateway.stream.send(b"new")
        device.stream.send(b"NEW")
        line.run(500)
        assert (device.got, gateway.got) == (b"new", b"NEW"), delay_ms
        assert (device.stream.state, gateway.stream.state) == (stream.OPEN, stream.OPEN)


def test_a_stalled_line_bounds_what_an_application_can_queue() -> None:
    device, gateway = Talker(1), Talker(2)
    line = joined(device, gateway)
    line.ab.cut = lambda frame, number: b""
    for _ in range(2000):
        device.stream.open()
        device.stream.close()
    assert not device.link.up
    assert len(device.link._sender._waiting) <= 1024 + 64


def test_text_between_frames_reaches_the_log_and_binary_does_not() -> None:
    a, b = End(1), End(2)
    joined(a, b)
    a.link.receive(b"Traceback (most recent call last):\r\n\0", 100)
    a.link.receive(bytes(range(128, 256)) * 3 + b"\0", 101)
    assert a.got[LOG] == b"Traceback (most recent call last):\r\n"
    assert a.link.stats.damaged == 1


@pytest.mark.parametrize(
    "options",
    [
        {"frame_size": 31},
        {"frame_size": 256},
        {"window": 17},
        {"window": 0},
        {"receive_window": 127},
        {"receive_window": 32768},
        {"device_id": bytes(33)},
    ],
)
def test_settings_that_cannot_work_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Link(1, **options)


def test_the_longest_syn_is_as_long_as_the_link_reckons() -> None:
    longest_syn = encode(frames.SYN, 0, 0, 0, 0, -1, frames.pack_syn(1, 2, 3, 4, 5, bytes(32)), in_front=0)
    assert len(longest_syn) - 1 == link._MAX_SYN


def test_every_reason_has_words() -> None:
    assert {link_reason(n) for n in LINK_REASONS} == set(LINK_REASONS.values())
    assert {stream_reason(n) for n in STREAM_REASONS} == set(STREAM_REASONS.values())
    assert stream_reason(99) == "reason 99"


@PROPERTY
@given(seed=st.integers(0, 2**32), cut=st.integers(1, 999))
def test_noise_does_not_depend_on_how_bytes_are_cut(seed: int, cut: int) -> None:
    def noise() -> Noise:
        return Noise(seed, bit_errors=1e-3, dropped=1e-3, inserted=1e-3, bursts=1e-3)

    data = bytes(range(250)) * 4
    whole, halves = noise(), noise()
    assert whole.apply(data) == halves.apply(data[:cut]) + halves.apply(data[cut:])


def test_noise_is_as_frequent_as_it_says() -> None:
    noise = Noise(1, bit_errors=1e-3, dropped=2e-3, inserted=1e-3)
    for _ in range(1000):
        noise.apply(bytes(1000))
    assert 9_000 < noise.flipped < 11_000
    assert 1_800 < noise.dropped < 2_200
    assert 900 < noise.inserted < 1_100
