"""Codec, parser and text, as a script for MicroPython (it runs on CPython too): ends with "all done"."""

from mqttlite.core import codec, matching, text, versions, wire4, wire4_server
from mqttlite.core.errors import ProtocolError
from mqttlite.core.parser import Parser


def hexed(packet):
    return "".join("%02x" % byte for byte in packet)


def unhex(digits):
    digits = digits.replace(" ", "")
    return bytes([int(digits[at : at + 2], 16) for at in range(0, len(digits), 2)])


def refused(rule, call, *args):
    try:
        call(*args)
    except ProtocolError as error:
        assert error.rule == rule, (error.rule, rule)
        assert str(error).endswith("[" + rule + "]")
        return
    raise AssertionError("not refused: " + rule)


def parsed(packet):
    parser = Parser(1000)
    parser.feed(packet)
    assert parser.next() == packet[0]
    return parser.buf, parser.start, parser.end


# The same bytes as those of mqtt-packet and paho-mqtt, which tests/core/test_codec_peers.py compares with ours.
CONNECT = "101f 0004 4d515454 04 ee 012c 0001 63 0002 c3a9 0003 00ff80 0001 75 0004 70617373"


def packets():
    will = ("é".encode(), b"\0\xff\x80", 1, True)
    packet = wire4.encode_connect(b"c", True, 300, b"u", b"pass", will)
    assert hexed(packet) == CONNECT.replace(" ", ""), hexed(packet)
    connect = versions.read_connect(*parsed(packet))
    assert connect.client_id == b"c" and connect.clean_session and connect.keep_alive_s == 300
    assert connect.username == b"u" and connect.password == b"pass" and connect.will == will

    assert wire4_server.encode_connack(True, 0) == b"\x20\x02\x01\0"
    assert wire4.decode_connack(*parsed(b"\x20\x02\x01\0")) == (True, 0, None)
    head = codec.publish_head(5, "é".encode(), 3)
    assert hexed(head) == "35090002c3a9" and head[4:] == "é".encode()
    assert codec.repeated(head)[0] == 0x3D
    for first, digits in (
        (0x40, "4002ffff"),
        (0x50, "5002ffff"),
        (0x62, "6202ffff"),
        (0x70, "7002ffff"),
        (0xB0, "b002ffff"),
    ):
        packet = codec.acknowledgement(first, 65535)
        assert hexed(packet) == digits
        assert codec.decode_acknowledgement(*parsed(packet)) == 65535
    wanted = [(b"a/#", 2), (b"+", 0)]
    packet = wire4.encode_subscribe(258, wanted)
    assert hexed(packet) == "820c01020003612f230200012b00"
    assert wire4_server.decode_subscribe(*parsed(packet)) == (258, wanted, b"")
    packet = wire4_server.encode_suback(258, b"\x02\x80")
    assert hexed(packet) == "900401020280"
    assert wire4.decode_suback(*parsed(packet)) == (258, b"\x02\x80")
    packet = wire4.encode_unsubscribe(258, [b"a/#", b"+"])
    assert hexed(packet) == "a20a01020003612f2300012b"
    assert wire4_server.decode_unsubscribe(*parsed(packet)) == (258, [b"a/#", b"+"])
    for size, digits in ((127, "7f"), (128, "8001"), (16384, "808001"), (2097152, "80808001"), (268435455, "ffffff7f")):
        assert hexed(codec.remaining_length(size)) == digits
    refused("2.2.3", codec.remaining_length, 268435456)
    refused("MQTT-3.1.2-22", wire4.encode_connect, b"c", True, 0, None, b"p")
    for rule, digits in (
        ("MQTT-3.1.2-3", "100d 0004 4d515454 04 03 0000 0001 63"),
        ("MQTT-1.5.3-1", "100f 0004 4d515454 04 02 0000 0003 eda080"),
        ("MQTT-1.5.3-2", "100d 0004 4d515454 04 02 0000 0001 00"),
        ("MQTT-3.1.4-1", "100e 0004 4d515454 04 02 0000 0001 63 00"),
        ("1.5.3", "100d 0004 4d515454 04 02 0000 0002 63"),
    ):
        refused(rule, versions.read_connect, *parsed(unhex(digits)))
    refused("MQTT-2.3.1-1", codec.decode_acknowledgement, b"\0\0", 0, 2)
    refused("2.2.3", codec.decode_acknowledgement, b"\0\1\0", 0, 3)
    refused("MQTT-3.9.3-2", wire4.decode_suback, b"\0\1\3", 0, 3)
    refused("3.8.3", wire4_server.decode_subscribe, b"\0\1\0\1a\3", 0, 6)


def chunks():
    """Any pieces give the same packets."""
    bodies = [b"", b"x", bytes(127), bytes(128), b"\0\1t" + bytes(300), b""]
    stream = b""
    for body in bodies:
        stream += b"\x30" + codec.remaining_length(len(body)) + body
    seed = 1
    for _ in range(60):
        parser = Parser(1000)
        at = 0
        found = []
        while at < len(stream):
            seed = (seed * 75 + 74) % 65537
            step = 1 + seed % 40 if seed & 1 else 1
            parser.feed(stream[at : at + step])
            at += step
            while parser.next():
                found.append(bytes(parser.buf[parser.start : parser.end]))
        assert found == bodies
    for rule, digits in (
        ("2.2.1", "00"),
        ("2.2.1", "f0"),
        ("MQTT-2.2.2-2", "60"),
        ("MQTT-3.3.1-4", "36"),
        ("MQTT-3.3.1-2", "38"),
        ("2.2.3", "3080808080"),
        ("4.8", "30e907"),
    ):
        parser = Parser(1000)
        parser.feed(unhex(digits))
        refused(rule, parser.next)


def texts():
    """MicroPython's own decoder takes each of these."""
    for digits in (
        "eda080",  # surrogates
        "edbfbf",
        "c080",  # overlong
        "c1bf",
        "e09fbf",
        "f08fbfbf",
        "f4908080",  # above U+10FFFF
        "f8888080 80",
        "80",  # out of place
        "61bf",
        "e282",  # cut short
        "ff",
    ):
        data = unhex(digits)
        refused("MQTT-1.5.3-1", text.check_utf8, data, "x")
        refused("MQTT-1.5.3-1", text.check_topic_name, data)
        refused("MQTT-1.5.3-1", text.check_topic_filter, data)
        refused("MQTT-1.5.3-1", text.to_utf8, data, "x")
    refused("MQTT-1.5.3-2", text.check_utf8, b"a\0b", "x")
    refused("MQTT-1.5.3-2", text.to_utf8, "a\0b", "x")
    for digits in ("", "41", "7f", "c280", "dfbf", "e0a080", "ed9fbf", "ee8080", "efbbbf", "f0908080", "f48fbfbf"):
        text.check_utf8(unhex(digits), "x")
    assert text.to_utf8("é€", "x") == unhex("c3a9e282ac")
    for rule, topic_filter in (
        ("MQTT-4.7.3-1", b""),
        ("MQTT-4.7.1-2", b"a#"),
        ("MQTT-4.7.1-2", b"#/a"),
        ("MQTT-4.7.1-3", b"a+/b"),
    ):
        refused(rule, text.check_topic_filter, topic_filter)
    refused("MQTT-3.3.2-2", text.check_topic_name, b"a/+")
    for topic_filter, name, yes in (
        (b"a/#", b"a", True),
        (b"a/+", b"a", False),
        (b"+/+", b"/a", True),
        (b"#", b"$SYS", False),
        (b"$SYS/#", b"$SYS/a", True),
    ):
        text.check_topic_filter(topic_filter)
        assert matching.matches(topic_filter, name) is yes


packets()
chunks()
texts()
print("all done")
