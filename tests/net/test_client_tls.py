"""The client over TLS, to Mosquitto: whom it trusts, what it says where it does not, and what it sends of itself."""

import asyncio
import logging
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from mqttlite import Client
from mqttlite.client.arguments.checks import TLS_ARGUMENTS
from mqttlite.client.secure.tls_options import TlsOptions, plain_fingerprint
from mqttlite.core.errors import ConnectError, MQTTError, SettingError
from tests.certificates import Certificates, Pair
from tests.peers import Mosquitto, free_port


class Peer(NamedTuple):
    """Mosquitto with a listener for each kind of certificate."""

    broker: Mosquitto
    made: Certificates
    ports: dict[str, int]
    pairs: dict[str, Pair]

    def url(self, name: str, scheme: str = "mqtts") -> str:
        return f"{scheme}://127.0.0.1:{self.ports[name]}"


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    folder = tmp_path_factory.mktemp("tls")
    made = Certificates(folder)
    pairs = {
        "good": made.server(),
        "old": made.server(days=-1, file="old"),
        "other name": made.server("broker.example", "10.0.0.1", file="other"),
        "self-signed": made.server(file="self", self_signed=True),
        "asks": made.server(file="asks"),
    }
    ports = {name: free_port() for name in pairs}
    settings: dict[str, object] = {}
    for name, pair in pairs.items():
        lines = [f"{ports[name]} 127.0.0.1", f"certfile {pair.certificate}", f"keyfile {pair.key}"]
        if name == "asks":
            lines += [f"cafile {made.ca}", "require_certificate true", "use_identity_as_username true"]
        settings[f"# {name}\nlistener"] = "\n".join(lines)
    with Mosquitto(folder / "mosquitto", persistence=False, settings=settings) as broker:
        yield Peer(broker, made, ports, pairs)


async def there_and_back(url: str, size: int = 300_000, **options: object) -> None:
    """A message of each QoS, the last one of `size` bytes: longer than many TLS records."""
    async with Client(url, timeout_s=10, **options) as client:
        await client.subscribe("room/#", qos=2)
        for qos, payload in enumerate((b"none", b"one", os.urandom(size))):
            await client.publish(f"room/{qos}", payload, qos=qos)
            message = await anext(client)
            assert (message.topic, message.payload, message.qos) == (f"room/{qos}", payload, qos)


async def refused(url: str, **options: object) -> MQTTError:
    with pytest.raises(MQTTError) as caught:
        async with Client(url, timeout_s=10, **options):
            pass
    return caught.value


async def test_messages_of_each_qos_go_through_tls_to_a_broker_with_a_known_ca(peer: Peer) -> None:
    await there_and_back(peer.url("good"), ca=peer.made.ca)


async def test_a_ca_may_be_text_or_der_or_a_context_of_the_applications(peer: Peer) -> None:
    text = peer.made.ca.read_text()
    context = ssl.create_default_context(cafile=peer.made.ca)
    for options in ({"ca": text}, {"ca": ssl.PEM_cert_to_DER_cert(text)}, {"tls": context}):
        async with Client(peer.url("good"), **options) as client:  # type: ignore[arg-type]
            assert client.is_connected


async def test_a_pinned_certificate_is_taken_whoever_has_signed_it_and_no_other(peer: Peer) -> None:
    pin = peer.pairs["self-signed"].fingerprint
    colons = "SHA256:" + ":".join(pin[at : at + 2] for at in range(0, 64, 2)).upper()
    await there_and_back(peer.url("self-signed"), fingerprint=colons)
    error = await refused(peer.url("good"), fingerprint=pin)
    assert isinstance(error, ConnectError)
    assert "not the one that is pinned with fingerprint=" in str(error)


async def test_insecure_takes_anybody_and_warns(peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with Client(peer.url("self-signed"), insecure=True):
            pass
    assert "may be anybody; what is sent there, passwords included, can be read" in caplog.text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("old", r"shows a certificate that has expired on \w+ +\d+ .*; the broker needs a new one"),
        ("other name", r"is not for '127\.0\.0\.1': it is for broker\.example, 10\.0\.0\.1\. Use that name"),
        ("self-signed", r"not signed by the CA of ca= \(it is signed by itself\); .*fingerprint='([0-9A-F]{2}:){31}"),
        ("asks", r"wants a certificate of the client: give it with certificate= and key_file="),
    ],
)
async def test_a_certificate_that_does_not_hold_is_explained(peer: Peer, name: str, words: str) -> None:
    error = await refused(peer.url(name), ca=peer.made.ca)
    assert isinstance(error, ConnectError)
    with pytest.raises(ConnectError, match=words):
        raise error


async def test_the_name_to_look_for_may_be_another_than_the_host(peer: Peer) -> None:
    async with Client(peer.url("other name"), ca=peer.made.ca, server_name="broker.example") as client:
        assert client.is_connected


async def test_without_a_ca_the_systems_count_and_the_fingerprint_of_what_was_shown_is_told(peer: Peer) -> None:
    pin = str(await refused(peer.url("self-signed"))).partition("fingerprint='")[2].partition("'")[0]
    assert plain_fingerprint(pin) == peer.pairs["self-signed"].fingerprint
    assert "signed by a CA that is not known here: give that CA with ca=" in str(await refused(peer.url("good")))


async def test_a_client_shows_its_certificate_and_the_broker_knows_it_by_that(peer: Peer) -> None:
    made = peer.made.client("kitchen")
    name = "client-with-certificate"
    async with Client(
        peer.url("asks"), ca=peer.made.ca, certificate=made.certificate, key_file=made.key, client_id=name
    ):
        await peer.broker.logged(f"as {name} (p2, c0, k60, u'kitchen')")


async def test_a_renewed_certificate_counts_from_the_next_connection_on(peer: Peer, tmp_path: Path) -> None:
    made = peer.made.client("first")
    both = tmp_path / "client.pem"
    both.write_bytes(made.certificate.read_bytes() + made.key.read_bytes())
    gone = asyncio.Event()
    back = asyncio.Event()

    def on_connection(connected: bool, _: str) -> None:
        (back if connected else gone).set()

    url = peer.url("asks")
    async with Client(
        url, ca=peer.made.ca, certificate=both, client_id="renewed", on_connection=on_connection
    ) as client:
        renewed = peer.made.client("second")
        both.write_bytes(renewed.certificate.read_bytes() + renewed.key.read_bytes() + b"\n")
        back.clear()
        # The same client identifier from elsewhere ends the connection [MQTT-3.1.4-2].
        async with Client(
            url, ca=peer.made.ca, certificate=renewed.certificate, key_file=renewed.key, client_id="renewed"
        ):
            await gone.wait()
        await back.wait()
        await peer.broker.logged("as renewed (p2, c0, k60, u'second')", 2)
        assert client.is_connected


async def test_a_port_without_tls_is_told_apart_and_so_is_one_with_it(peer: Peer) -> None:
    plain = str(await refused(f"mqtts://127.0.0.1:{peer.broker.port}"))
    assert "closes the connection at the beginning of TLS: is this its port for TLS? Without TLS it is mqtt://" in plain
    assert "speaks TLS: use mqtts:// for this port" in str(await refused(peer.url("good", "mqtt")))


MISTAKES = [
    ({"ca": "/nowhere/ca.pem"}, "cannot read the CA in /nowhere/ca.pem: No such file"),
    ({"ca": "{key}"}, "server.key holds a private key, and no certificate: give the file of the CA's$"),
    ({"ca": b"\x30\x82\x01\x01xx"}, "ca holds no certificate that is whole: [^(]*$"),
    ({"certificate": "{ca}"}, "ca.pem holds no private key in PEM .*; give the file of its key, too"),
    (
        {"certificate": "{ca}", "key_file": "{key}"},
        "the key in .*server.key does not belong to the certificate in .*ca.pem",
    ),
    ({"certificate": "{certificate}", "key_file": "{secret}"}, "client.key: it is encrypted: give its password"),
    (
        {"certificate": "{certificate}", "key_file": "{secret}", "key_password": "x"},
        "client.key: the password is wrong",
    ),
]


@pytest.mark.parametrize(("options", "words"), MISTAKES, ids=[words[:30] for _, words in MISTAKES])
async def test_a_file_that_is_none_is_named(tmp_path: Path, options: dict[str, object], words: str) -> None:
    made = Certificates(tmp_path)
    server = made.server()
    client = made.client(password="secret")
    paths = {"ca": made.ca, "key": server.key, "certificate": client.certificate, "secret": client.key}
    given = {name: value.format(**paths) if isinstance(value, str) else value for name, value in options.items()}
    error = await refused(f"mqtts://127.0.0.1:{free_port()}", retry_first=True, **given)
    assert isinstance(error, SettingError)  # no use to try again
    with pytest.raises(SettingError, match=words):
        raise error


@pytest.mark.parametrize(
    ("url", "options", "words"),
    [
        ("mqtt://h", {"ca": "x"}, "ca= is about TLS, and mqtt:// goes without it; use mqtts://"),
        ("ws://h", {"insecure": True}, "insecure= is about TLS, and ws:// goes without it; use wss://"),
        ("mqtts://h", {"key_file": "x"}, "key_file without certificate"),
        ("mqtts://h", {"insecure": True, "ca": "x"}, "insecure=True takes whoever answers"),
        ("mqtts://h", {"fingerprint": "ab" * 20}, "with 40 digits it is SHA-1"),
        ("mqtts://h", {"fingerprint": 7}, "fingerprint must be str"),
        ("mqtts://h", {"tls": True}, "tls must be an ssl.SSLContext, not True"),
        ("mqtts://h", {"tls": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), "ca": "x"}, "ca belongs into it"),
        ("mqtts://h", {"alpn": ["x" * 256]}, "1 to 255 ASCII characters"),
        ("mqtts://h", {"certificate": 1}, "certificate must be the path of a file, not 1"),
        ("mqtts://h", {"server_name": ""}, "server_name must be a host name"),
    ],
)
def test_what_does_not_go_together_is_refused_at_once(url: str, options: dict[str, object], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        Client(url, **options)


def test_the_arguments_about_tls_are_those_that_help_shows() -> None:
    assert tuple(TlsOptions.__dataclass_fields__) == TLS_ARGUMENTS
    assert TlsOptions.__doc__
    for name in TLS_ARGUMENTS:
        assert f"    {name}" in str(Client.__doc__) or f" {name}:" in str(Client.__doc__)


async def test_a_password_does_not_leave_before_the_pinned_certificate_was_seen(peer: Peer) -> None:
    """What the other one gets is a TLS handshake and its end."""
    seen = bytearray()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = peer.pairs["good"]
    context.load_cert_chain(pair.certificate, pair.key)
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend(await reader.read())
        writer.close()
        done.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        await refused(f"mqtts://ann:secret@127.0.0.1:{port}", fingerprint=peer.pairs["old"].fingerprint)
        await done.wait()
    assert seen == b""
