"""What people write where a URL belongs: each mistake has an error of its own, and none shows a password."""

import pytest

from mqttlite.client import Client
from mqttlite.client.address import take_apart
from mqttlite.client.arguments.checked_url import SERIAL_OPTIONS, checked_url, without_password
from mqttlite.client.url import Url
from mqttlite.serial.dialer import _OPTIONS

GOOD = [
    "mqtt://localhost",
    "mqtt://localhost:1883/",
    "mqtt://ann@host",
    "mqtt://ann:p%20w%2F@192.168.1.10:1884",
    "mqtt://[::1]:1883",
    "mqtt://[fe80::1%eth0]",
    "mqtt://bücher.example",
    "mqtt://my_broker",
    "mqtt://broker.example.",
    "mqtts://ann:pw@broker.example:8883",
    "ws://localhost",
    "ws://[::1]:9001/mqtt",
    "wss://bücher.example/a/b?token=x&y",
    "unix:///run/my broker.sock",
    "serial:///dev/ttyUSB0?baud=9600&rtscts=1",
]

BAD = [
    ("localhost", "not a URL: 'localhost'"),
    ("", "not a URL: ''"),
    ("://host", "not a URL"),
    ("\ufeffmqtt://localhost", "a byte order mark (U+FEFF) is in the URL"),
    ("mqtt://local\ufeffhost", "a byte order mark"),
    ("mqtt://192.168.1.10 ", "a blank is in the URL"),
    (" mqtt://localhost", "a blank is in the URL"),
    ("mqtt://local host", "a blank is in the URL"),
    ("mqtt://localhost:1883\n", "a blank is in the URL 'mqtt://localhost:1883\\n'"),
    ("mqtt://local\u200bhost", "U+200B is in the URL"),
    ("mqtt://local\u00a0host", "a blank is in the URL"),
    ("unix:///run/broker.sock ", "a blank is in the URL"),
    ("ssl://host", "write mqtts:// instead"),
    ("MQTTS://host", "is written in lower case"),
    ("https://host/mqtt", "MQTT over WebSockets and TLS is wss://"),
    ("http://host", "MQTT over WebSockets is ws://"),
    ("mqtts://host/room/1", "a path or topic, '/room/1', does not belong into the URL"),
    ("mqtts://host:x", "the port behind 'host' is not a number"),
    ("wss://", "the host is missing"),
    ("ws://host:0/mqtt", "is not between 1 and 65535"),
    ("ws://host/mqtt#1", "'#' and letters beyond ASCII have no place"),
    ("ws://host/mätt", "in a path they are written %XX"),
    ("tcp://host:1883", "write mqtt:// instead"),
    ("MQTT://host", "is written in lower case"),
    ("mqqt://host", "'mqqt' is not a known scheme; use mqtt:// or mqtts:// or ws:// or wss:// or unix:// or serial://"),
    ("mqtt://", "the host is missing"),
    ("mqtt://:1883", "the host is missing"),
    ("mqtt://ann:pw@", "the host is missing in 'mqtt://ann:***@'"),
    ("mqtt://:pw@host", "the user name is missing in 'mqtt://:***@host'"),
    ("mqtt://@host", "the user name is missing"),
    ("mqtt://host/room/1", "a path or topic, '/room/1', does not belong into the URL"),
    ("mqtt://host:1883?qos=1", "unknown option 'qos'"),
    ("mqtt://host/?tls=1", "a path or topic"),
    ("mqtt://host:abc", "the port behind 'host' is not a number from 1 to 65535"),
    ("mqtt://host:", "the port behind 'host' is not a number"),
    ("mqtt://host:1883x", "the port behind 'host' is not a number"),
    ("mqtt://host:+1", "the port behind 'host' is not a number"),
    ("mqtt://host:0", "the port behind 'host' is not between 1 and 65535: 0"),
    ("mqtt://host:65536", "is not between 1 and 65535: 65536"),
    ("mqtt://host:" + "9" * 5000, "is not between 1 and 65535: 99999"),
    ("mqtt://::1", "an IPv6 address stands in brackets, as in mqtt://[::1]:1883"),
    ("mqtt://fe80::1:1883", "an IPv6 address stands in brackets"),
    ("mqtt://[::1", "'[::1' is no IPv6 address and port"),
    ("mqtt://[host]:1883", "'[host]:1883' is no IPv6 address and port"),
    ("mqtt://192.168.1.300", "'192.168.1.300' is no IPv4 address"),
    ("mqtt://ann:a\u00a0b@host", "write it as %C2%A0)"),
    ("mqtt://ho\ud800st", "U+D800 is in the URL 'mqtt://ho\\ud800st'; remove it"),
    ("mqtt://ho$t", "'ho$t' is no host name: it contains '$'"),
    ("mqtt://a,b", "it contains ','"),
    ("mqtt://host#1", "it contains '#'"),
    ("mqtt://a..b", "'a..b' is no possible host name"),
    ("unix://run/broker.sock", "a third slash is missing"),
    ("unix://", "the path of the socket is missing"),
    ("unix:///run/broker.sock?x=1", "unknown option 'x'"),
    ("unix://ann:pw@/run/broker.sock", "unix:// takes no user name and password"),
    ("unix:///" + "x" * 200, "107 bytes at most"),
    ("serial://", "the path of the serial line is missing"),
    ("serial://2", "names a UART of a board"),
    ("serial:///dev/ttyUSB0?buad=9600", "unknown option 'buad' of a serial line; there are baud"),
    ("serial:///dev/ttyUSB0?baud=fast", "baud=fast is not a number"),
    ("serial:///dev/ttyUSB0?baud=1&baud=2", "option 'baud' is there twice"),
]


@pytest.mark.parametrize("text", GOOD)
def test_what_is_right_is_taken(text: str) -> None:
    assert vars(checked_url(text)) == vars(Url(text))
    Client(text)


@pytest.mark.parametrize(("text", "message"), BAD, ids=[repr(text)[:40] for text, _ in BAD])
def test_each_mistake_has_an_error_of_its_own(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Client(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("url", [None, b"mqtt://localhost", 1883, ("localhost", 1883)])
def test_another_type_is_named(url: object) -> None:
    with pytest.raises(TypeError, match="url must be str, as in 'mqtt://localhost:1883', not "):
        Client(url)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "mqtt://ann:secret@host:99999",
        "mqtt://ann:secret@host:x",
        "mqtt://ann:secret@ho st",
        "mqtt://ann:sec ret@host",
        "mqtt://ann:secret@host/room",
        "mqtt://ann:secret@host?x=1",
        "mqtt://ann:secret@::1",
        "mqtt://ann:secret@",
        "mqtt://:secret@host",
        "mqtt://ann:secret",
        "mqtt://ann:secret/room",
        "mqtt://ann:se/cret@host",
        "mqtt://ann:se?cret@host",
        "mqtt://ann:se@cret@ho$t",
        "mqtt://ann:%secret@host",
        "ssl://ann:secret@host",
        "unix://ann:secret@/run/x",
        "ann:secret@host",
        "\ufeffmqtt://ann:secret@host",
    ],
)
def test_no_error_shows_a_password(text: str) -> None:
    for make in (Client, Url):
        try:
            make(text)
        except ValueError as error:
            assert "cret" not in str(error)
            assert "%se" not in str(error)
        else:
            assert make is Url


def test_what_is_shown_of_a_url_has_no_password() -> None:
    assert without_password("mqtt://ann:secret@host:1/x") == "mqtt://ann:***@host:1/x"
    assert without_password("mqtt://ann@host") == "mqtt://ann@host"
    assert without_password("mqtt://host:1883/a") == "mqtt://host:1883/a"
    assert without_password("ann:secret@host") == "ann:***@host"


def test_the_options_of_a_serial_line_are_those_that_the_line_knows() -> None:
    assert {*SERIAL_OPTIONS, "tx", "rx", "de"} == {*_OPTIONS}


def test_a_board_says_what_is_wrong_with_a_port_too() -> None:
    with pytest.raises(ValueError, match="the port is not a number from 1 to 65535"):
        take_apart(Url("mqtt://x"), "", "host:x")
