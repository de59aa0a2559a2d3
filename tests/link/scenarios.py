"""What a link has to do, as functions without arguments that raise AssertionError. The same on CPython and MicroPython.

tests/link/test_scenarios.py runs them on CPython, tests/micropython/test_link.py on the real MicroPython interpreter.
"""

from mqttlite.link import link as link_module
from mqttlite.link import stream as stream_module
from mqttlite.link.frames import DATA, MAX_FRAME, OVERHEAD, SYN, decode, encode
from tests.link.ends import CONTROL, LOG, MQTT, End, Noise, Talker, joined, pattern, pour, until


def every_payload_size_and_many_zeros_survive_the_coding():
    for size in range(0, MAX_FRAME - OVERHEAD + 1, 7):
        for payload in (bytes(size), b"\xff" * size, pattern(size)):
            frame = encode(DATA | MQTT, 1, 2, 3, 0, -1, payload, False)
            assert frame.find(b"\0") == len(frame) - 1
            assert len(frame) == size + 10
            buffer = bytearray(frame)
            assert decode(buffer, len(frame) - 1) == 5
            assert bytes(buffer[5 : len(frame) - 5]) == payload


def no_single_bit_error_and_no_lost_byte_passes():
    frame = bytes(encode(DATA | MQTT, 7, 0, 0, 0, -1, b"a payload with \0 and \0", False))[:-1]
    for bit in range(8 * len(frame)):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        assert not decode(damaged, len(frame))
    for i in range(len(frame)):
        damaged = bytearray(frame[:i] + frame[i + 1 :])
        assert not decode(damaged, len(damaged))


def both_ends_come_up_and_know_each_other():
    a = End(1, device_id=b"porch", reset_cause=3, frame_size=128, receive_window=512)
    b = End(2, frame_size=255, receive_window=4096)
    joined(a, b)
    assert (b.ups[0].device_id, b.ups[0].reset_cause, b.ups[0].receive_window) == (b"porch", 3, 512)
    assert (a.ups[0].device_id, a.ups[0].epoch, a.ups[0].frame_size) == (b"", 2, 255)
    assert len(a.ups) == len(b.ups) == 1
    assert a.downs == b.downs == []


def bytes_arrive_exactly_in_both_directions_over_a_noisy_line():
    a = End(1)
    b = End(2)
    line = joined(a, b, noise_ab=Noise(1, bit_errors=2e-4, dropped=1e-3), noise_ba=Noise(2, bit_errors=2e-4))
    there = pattern(4000)
    back = pattern(4000, 77)
    at = at_back = 0
    while len(b.got[MQTT]) < len(there) or len(a.got[MQTT]) < len(back):
        at += a.link.send(MQTT, there[at : at + 81])
        at_back += b.link.send(MQTT, back[at_back : at_back + 33])
        line.step()
    assert b.got[MQTT] == there
    assert a.got[MQTT] == back
    assert a.downs == b.downs == []
    assert a.link.stats.repaired > 0
    assert b.link.stats.damaged > 0


def a_long_transfer_survives_bursts_and_inserted_bytes():
    a = End(1, frame_size=32)
    b = End(2)
    noise = Noise(5, bursts=2e-4, burst_bytes=30, inserted=5e-4)
    line = joined(a, b, noise_ab=noise, noise_ba=Noise(6, bursts=2e-4))
    data = pattern(10000)  # 555 frames: their numbers go round twice
    pour(line, a, b, data)
    assert b.got[MQTT] == data


def a_lost_frame_is_repaired_by_the_next_one_without_a_timeout():
    a = End(1)
    b = End(2)
    line = joined(a, b)
    lost = []

    def lose_one(frame, _number):
        if a.link.stats.sent_bytes > 800 and not lost and len(frame) > 100:
            lost.append(frame)
            return b""
        return frame

    line.ab.cut = lose_one
    data = pattern(4000)
    pour(line, a, b, data)
    assert b.got[MQTT] == data
    stats = a.link.stats
    assert (len(lost), stats.resent, stats.timeouts) == (1, 1, 0)


def a_damaged_last_frame_is_repaired_faster_than_by_timeout():
    a = End(1)
    b = End(2)
    line = joined(a, b)
    pour(line, a, b, b"first")  # a round-trip time is known now
    broken = []

    def damage_one(frame, _number):
        if not broken:
            broken.append(frame)
            return frame[:9] + bytes([frame[9] ^ 1 or 2]) + frame[10:]
        return frame

    line.run(300)
    line.ab.cut = damage_one
    a.link.send(MQTT, pattern(100))
    until(line, lambda: len(b.got[MQTT]) == 105)
    stats = a.link.stats
    assert (len(broken), stats.resent, stats.timeouts) == (1, 1, 0)


def a_restarted_peer_is_a_new_session():
    a = End(1)
    b = End(2)
    line = joined(a, b)
    a.link.send(MQTT, pattern(900))
    line.run(30)
    again = End(3)
    line.replace(b.link, again.link)
    until(line, lambda: again.link.up and a.link.up)
    assert a.downs == [link_module.RESTARTED]
    assert len(a.ups) == 2
    assert a.ups[1].epoch == 3
    line.run(3000)
    assert bytes(again.got[MQTT]) == b""  # what was sent to the old one stays with the old one
    pour(line, a, again, b"new")
    assert bytes(again.got[MQTT]) == b"new"


def a_silent_peer_is_noticed_and_found_again():
    a = End(1)
    b = End(2)
    line = joined(a, b)
    line.run(10000)
    assert a.downs == b.downs == []  # an idle line is no dead line
    line.ab.cut = line.ba.cut = lambda frame, number: b""
    start = line.now
    until(line, lambda: a.downs and b.downs)
    assert line.now - start < 5100
    assert a.downs == b.downs == [link_module.SILENT]
    line.run(60000)
    line.ab.cut = line.ba.cut = lambda frame, number: frame
    start = line.now
    until(line, lambda: a.link.up and b.link.up)
    assert line.now - start < 2500
    pour(line, a, b, b"back")


def credit_holds_the_sender_back_and_lets_it_go_on():
    a = End(1)
    b = End(2, consume=False, receive_window=300)
    line = joined(a, b)
    data = pattern(2000)
    at = 0
    while line.now < 3000:
        at += a.link.send(MQTT, data[at:])
        line.step()
    assert 150 < len(b.got[MQTT]) <= 300
    assert at == len(b.got[MQTT]) + a.link._sender._buffer_size
    assert a.downs == []
    while len(b.got[MQTT]) < len(data):
        have = len(b.got[MQTT])
        b.link.consumed(have)  # more than once: what was never delivered is no credit
        at += a.link.send(MQTT, data[at:])
        line.run(100)
        assert len(b.got[MQTT]) - have <= 300
    assert b.got[MQTT] == data
    assert a.writable > 0


def a_lost_credit_does_not_stall_for_long():
    a = End(1)
    b = End(2, consume=False, receive_window=128)
    line = joined(a, b)
    data = pattern(300)
    a.link.send(MQTT, data)
    line.run(1000)
    line.ba.cut = lambda frame, number: b""
    b.link.consumed(len(b.got[MQTT]))
    line.run(50)
    line.ba.cut = lambda frame, number: frame
    have = len(b.got[MQTT])
    start = line.now
    until(line, lambda: len(b.got[MQTT]) > have)
    assert line.now - start < 2100


def log_is_lossy_and_counts_and_yields_to_data():
    a = End(1, log_buffer=100)
    b = End(2)
    assert a.link.send(LOG, b"before the link is up\n") == 22
    line = joined(a, b)
    until(line, lambda: len(b.got[LOG]) == 22)
    for _ in range(7):
        a.link.send(LOG, b"0123456789abcdef\n")
    assert a.link.stats.log_drops == 2
    a.link.send(MQTT, pattern(500))
    until(line, lambda: len(b.got[MQTT]) == 500)
    assert len(b.got[LOG]) == 22
    until(line, lambda: len(b.got[LOG]) == 22 + 5 * 17)


def boot_messages_go_to_the_log_and_the_link_comes_up_behind_them():
    b = End(2)
    text = b"ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n" * 4
    b.link.receive(text, 5)
    a = End(1)
    joined(a, b)
    # In a session of its own: joined() has reset what was noted before.
    b.link.receive(text[:90], 50)
    b.link.receive(b"\0", 51)
    assert bytes(b.got[LOG]) == text[:90]
    assert b.link.stats.garbage_bytes == len(text) + 90


def control_data_and_console_keep_their_order():
    a = End(1)
    b = End(2)
    order = []
    line = joined(a, b)

    def note(channel, data):
        order.append((channel, bytes(data)))
        b.link.consumed(len(data))

    b.link.on_data = note
    a.link.send(MQTT, b"one")
    a.link.send(CONTROL, b"two")
    a.link.send(MQTT, b"three")
    a.link.send(3, b"four")
    until(line, lambda: len(order) == 4)
    assert order == [(MQTT, b"one"), (CONTROL, b"two"), (MQTT, b"three"), (3, b"four")]


def another_version_is_said_once():
    a = End(1)
    syn = bytes([2]) + bytes(12)
    for _ in range(3):
        a.link.receive(encode(SYN, 0, 0, 0, 0, -1, syn, True), 1)
    assert a.downs == [link_module.OTHER_VERSION]
    assert not a.link.up


def an_echo_of_its_own_frames_brings_nothing_up():
    a = End(1)
    for now in range(0, 5000, 10):
        frame = a.link.transmit(now)
        a.link.receive(frame, now)
    assert a.ups == []


def equal_epochs_come_apart():
    a = End(5, device_id=b"board")
    b = End(5)
    joined(a, b)
    assert a.link.epoch == 10


def a_connection_opens_carries_and_closes():
    device = Talker(1)
    gateway = Talker(2)
    line = joined(device, gateway)
    assert device.stream.send(b"too early") == 0
    assert device.stream.open()
    assert not device.stream.open()
    until(line, lambda: gateway.events)
    assert gateway.events == [("open", 1)]
    assert gateway.stream.accept(1)
    until(line, lambda: device.events)
    assert device.events == [("opened", 1)]
    device.stream.send(b"CONNECT")
    gateway.stream.send(b"CONNACK")
    device.stream.send(b"DISCONNECT")
    device.stream.close()
    until(line, lambda: len(gateway.events) == 2)
    assert gateway.events[1] == ("close", stream_module.BY_APPLICATION)
    assert bytes(gateway.got) == b"CONNECTDISCONNECT"
    line.run(200)
    assert device.events == [("opened", 1)]
    assert bytes(device.got) == b""  # it came after the close


def the_owner_of_a_stream_hears_of_the_link():
    device = Talker(1, device_id=b"porch")
    gateway = Talker(2)
    ups = []
    downs = []
    gateway.stream.on_link_up = lambda peer: ups.append(peer.device_id)
    gateway.stream.on_link_down = downs.append
    line = joined(device, gateway)
    gateway.link.reset(int(line.now))
    assert (ups, downs) == ([b"porch"], [link_module.RESET])


def a_refused_device_is_told_why_and_when_the_broker_is_back():
    device = Talker(1)
    gateway = Talker(2)
    line = joined(device, gateway)
    device.stream.open()
    until(line, lambda: gateway.events)
    gateway.stream.refuse(1, stream_module.UPSTREAM_UNREACHABLE)
    until(line, lambda: device.events)
    gateway.stream.notify(stream_module.UPSTREAM_BACK)
    until(line, lambda: len(device.events) == 2)
    assert device.events == [
        ("close", stream_module.UPSTREAM_UNREACHABLE),
        ("notice", stream_module.UPSTREAM_BACK),
    ]
    assert device.stream.open()
    until(line, lambda: len(gateway.events) == 2)
    assert not gateway.stream.accept(1)  # that one is over
    assert gateway.stream.accept(2)
    until(line, lambda: device.stream.state == stream_module.OPEN)


def a_peer_is_told_the_time_when_the_line_is_free():
    device = Talker(1)
    gateway = Talker(2)
    assert not gateway.stream.tell_time(1)  # the link is down
    line = joined(device, gateway)
    times = []
    device.stream.on_time = times.append
    for ms in (1796025912804, 0, 2**48 - 1):
        until(line, lambda: not gateway.link.unsettled())
        assert gateway.stream.tell_time(ms)
        assert not gateway.stream.tell_time(ms)  # the line is busy with it
        until(line, lambda: times and times[-1] == ms)  # noqa: B023
    assert times == [1796025912804, 0, 2**48 - 1]
    assert not device.events


def a_lost_link_closes_the_connection_on_both_sides():
    device = Talker(1)
    gateway = Talker(2)
    line = joined(device, gateway)
    device.stream.open()
    until(line, lambda: gateway.events)
    gateway.stream.accept(1)
    until(line, lambda: device.events)
    device.link.reset(int(line.now))
    until(line, lambda: len(gateway.events) == 2)
    assert device.events == [("opened", 1), ("close", stream_module.LINK_LOST)]
    assert gateway.events == [("open", 1), ("close", stream_module.LINK_LOST)]
    assert not device.stream.open()
    until(line, lambda: device.link.up and gateway.link.up)
    assert device.stream.open()


def unconsumed_data_of_a_closed_connection_gives_its_credit_back():
    device = Talker(1)
    gateway = Talker(2, receive_window=256)
    gateway.stream.on_data = lambda data: None  # never consumes
    line = joined(device, gateway)
    for n in range(1, 6):
        device.stream.open()
        until(line, lambda: gateway.stream.state == stream_module.ASKED)
        gateway.stream.accept(n)
        until(line, lambda: device.stream.state == stream_module.OPEN)
        device.stream.send(pattern(800))
        line.run(500)
        gateway.stream.close(stream_module.UPSTREAM_CLOSED)
        until(line, lambda: device.stream.state == stream_module.CLOSED)
        line.run(3000)
    assert device.events.count(("close", stream_module.UPSTREAM_CLOSED)) == 5


SCENARIOS = [
    every_payload_size_and_many_zeros_survive_the_coding,
    no_single_bit_error_and_no_lost_byte_passes,
    both_ends_come_up_and_know_each_other,
    bytes_arrive_exactly_in_both_directions_over_a_noisy_line,
    a_long_transfer_survives_bursts_and_inserted_bytes,
    a_lost_frame_is_repaired_by_the_next_one_without_a_timeout,
    a_damaged_last_frame_is_repaired_faster_than_by_timeout,
    a_restarted_peer_is_a_new_session,
    a_silent_peer_is_noticed_and_found_again,
    credit_holds_the_sender_back_and_lets_it_go_on,
    a_lost_credit_does_not_stall_for_long,
    log_is_lossy_and_counts_and_yields_to_data,
    boot_messages_go_to_the_log_and_the_link_comes_up_behind_them,
    control_data_and_console_keep_their_order,
    another_version_is_said_once,
    an_echo_of_its_own_frames_brings_nothing_up,
    equal_epochs_come_apart,
    a_connection_opens_carries_and_closes,
    the_owner_of_a_stream_hears_of_the_link,
    a_refused_device_is_told_why_and_when_the_broker_is_back,
    a_peer_is_told_the_time_when_the_line_is_free,
    a_lost_link_closes_the_connection_on_both_sides,
    unconsumed_data_of_a_closed_connection_gives_its_credit_back,
]
