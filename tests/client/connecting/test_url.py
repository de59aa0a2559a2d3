"""URLs that a client takes."""

import pytest

from mqttlite.client.url import Url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mqtt://localhost", ("mqtt", None, None, "localhost", 0, "", {})),
        ("mqtt://host:1884", ("mqtt", None, None, "host", 1884, "", {})),
        ("mqtt://ann@host", ("mqtt", "ann", None, "host", 0, "", {})),
        ("mqtt://ann:@host", ("mqtt", "ann", "", "host", 0, "", {})),
        ("mqtt://ann:pw:2@host", ("mqtt", "ann", "pw:2", "host", 0, "", {})),
        ("mqtt://a%40b:%25%3A%2f%C3%A9@host:1", ("mqtt", "a@b", "%:/é", "host", 1, "", {})),
        ("mqtt://a@b@host", ("mqtt", "a@b", None, "host", 0, "", {})),
        ("mqtt://[::1]", ("mqtt", None, None, "::1", 0, "", {})),
        ("mqtt://u:p@[fe80::1%eth0]:1884", ("mqtt", "u", "p", "fe80::1%eth0", 1884, "", {})),
        ("unix:///run/broker.sock", ("unix", None, None, "", 0, "/run/broker.sock", {})),
        ("serial:///dev/ttyUSB0?baud=9600", ("serial", None, None, "", 0, "/dev/ttyUSB0", {"baud": "9600"})),
        ("serial://2?tx=17&rx=16", ("serial", None, None, "2", 0, "", {"tx": "17", "rx": "16"})),
        ("mqtt://", ("mqtt", None, None, "", 0, "", {})),
    ],
)
def test_a_url_is_taken_apart(text: str, expected: tuple[object, ...]) -> None:
    url = Url(text)
    assert (url.scheme, url.username, url.password, url.host, url.port, url.path, url.query) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("localhost", "not a URL: 'localhost'"),
        ("localhost:1883", "not a URL"),
        ("", "not a URL"),
        ("mqtt://host:port", "the port is not a number from 1 to 65535"),
        ("mqtt://host:65536", "not a number from 1 to 65535"),
        ("mqtt://host:-1", "not a number from 1 to 65535"),
        ("mqtt://host:0", "not a number from 1 to 65535"),
        ("mqtt://::1", "not a number from 1 to 65535"),
        ("mqtt://[::1", "no IPv6 address"),
        ("mqtt://[::1]1883", "no IPv6 address"),
        ("mqtt://ann:%zz@host", "is not percent-encoded"),
        ("mqtt://ann:%@host", "is not percent-encoded"),
        ("mqtt://ann:%4@host", "is not percent-encoded"),
    ],
)
def test_what_is_no_url_is_refused_with_a_reason(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("[", r"\[").replace("]", r"\]")):
        Url(text)
