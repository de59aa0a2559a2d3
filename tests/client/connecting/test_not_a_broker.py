"""At a port that is not MQTT's, the error says what is there and which port to use."""

import asyncio
import ssl
from pathlib import Path

import pytest

from mqttlite.client import Client
from mqttlite.client.connecting.recognise import recognise
from mqttlite.core.errors import ConnectError, ProtocolError
from tests.client.network import Peer, server
from tests.peers import free_port, run


async def error_at(url: str, **options: object) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        await Client(url, **options).start()  # type: ignore[arg-type]
    return caught.value


BANNERS = [
    (b"\x15\x03\x01\x00\x02\x02\x46", "speaks TLS"),
    (b"\x15\x03\x03\x00\x02\x02\x0a", "speaks TLS"),
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks HTTP"),
    (b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n\r\n", "MQTT over WebSockets"),
    (b"HTTP/1.0 403 Forbidden\r\ncontent-type: text/html\r\n\r\n", "speaks HTTP"),
    (b"<html><head><title>400 Bad Request</title>", "speaks HTTP"),
    (b"HTTP/1.1 400\r\n\r\nThe plain HTTP request was sent to HTTPS port", "speaks TLS"),
    (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "is an SSH server"),
    (b"AMQP\x00\x00\x09\x01", "is an AMQP broker"),
    (b"220 mail.example.org ESMTP Postfix\r\n", "is a mail or FTP server"),
    (b"220-welcome\r\n220 (vsFTPd 3.0.3)\r\n", "is a mail or FTP server"),
    (b"* OK [CAPABILITY IMAP4rev1] ready.\r\n", "mail server"),
    (b"+OK POP3 ready\r\n", "mail server"),
    (b"-ERR unknown command\r\n", "Redis"),
    (b"RFB 003.008\n", "VNC"),
    (b'INFO {"server_id":"NA"}\r\n', "NATS"),
    (b"\xff\xfd\x18\xff\xfd\x20", "Telnet"),
    (b"\x4a\x00\x00\x00\x0a8.0.36\x00" + bytes(60), "MySQL"),
    (b"\x00\x01what is this?", r"does not speak MQTT: it sent '\x00\x01what is this?'"),
]


@pytest.mark.parametrize(("banner", "expected"), BANNERS, ids=[words for _, words in BANNERS])
@pytest.mark.parametrize("version", [4, 5])
async def test_what_answers_is_named_by_its_first_bytes(banner: bytes, expected: str, version: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(banner)
        await peer.packet()

    async with server(script) as url:
        error = await error_at(url, version=version)
    assert str(error).startswith(url.removeprefix("mqtt://") + " ")
    assert expected in str(error)
    assert "1883" in str(error)


async def test_a_banner_that_looks_like_the_start_of_a_packet_is_recognised_when_the_time_is_up() -> None:
    """ "220 " is a PUBLISH of 50 bytes for whoever expects MQTT."""

    async def script(peer: Peer) -> None:
        await peer.say(b"220 x\r\n")
        while await peer.packet():
            pass

    async with server(script) as url:
        assert "is a mail or FTP server" in str(await error_at(url, timeout_s=0.3))


async def test_a_real_tls_port_that_closes_without_a_word_is_found_out(tmp_path: Path) -> None:
    """As Mosquitto's TLS listener: it resets a connection without TLS."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ("-subj", "/CN=localhost", "-days", "2")
    options = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    await run("openssl", "req", *options, "-keyout", str(key), "-out", str(certificate), *subject)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    port = free_port()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listener = await asyncio.start_server(served, "127.0.0.1", port, ssl=context)
    async with listener:
        assert f"127.0.0.1:{port} speaks TLS" in str(await error_at(f"mqtt://127.0.0.1:{port}"))


async def test_a_peer_that_closes_without_a_word_may_still_be_a_broker() -> None:
    async def script(peer: Peer) -> None:
        await peer.packet()

    async with server(script) as url:
        error = str(await error_at(url))
    assert "closes the connection without a word: is it an MQTT broker, without TLS" in error


async def test_a_peer_that_says_nothing_is_described_as_such() -> None:
    async def script(peer: Peer) -> None:
        while await peer.packet():
            pass

    async with server(script) as url:
        assert "takes the connection, but does not answer CONNECT within 0.2 s" in str(
            await error_at(url, timeout_s=0.2)
        )


async def test_a_broker_with_a_broken_connack_is_still_told_of_by_its_fault() -> None:
    async def script(peer: Peer) -> None:
        await peer.packet()
        await peer.say(b"\x20\x03\x00\x00\x00")
        await peer.packet()

    async with server(script) as url:
        with pytest.raises(ProtocolError, match="CONNACK of 3 bytes"):
            await Client(url).start()


def test_mqtt_is_not_taken_for_something_else() -> None:
    for first in (b"", b"\x20\x02\x00\x00", b"\x20\x03\x00\x00\x00", b"\x30\x05\x00\x01tab", b"\xd0\x00"):
        assert recognise(first) == ""
