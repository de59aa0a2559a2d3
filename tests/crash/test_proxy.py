"""The proxy of the crash tests cuts where it says."""

from tests.crash.proxy import Packets, _bytes


def test_packets_are_told_apart_however_the_stream_is_split() -> None:
    stream = [b"\xc0\0", b"\x32\x80\x01" + bytes(128), b"\x40\x02\0\1"]
    for size in (1, 2, 3, 50, 1000):
        packets = Packets()
        data = b"".join(stream)
        assert [p for at in range(0, len(data), size) for p in packets.feed(data[at : at + size])] == stream
        assert packets.rest == b""


def test_a_cut_within_a_packet_lets_some_bytes_through_but_not_all() -> None:
    assert [_bytes(part, 2) for part in (0.0, 0.001, 0.999, 1.0)] == [0, 1, 1, 2]
    assert [_bytes(part, 10) for part in (0.0, 0.001, 0.999, 1.0)] == [0, 1, 9, 10]
