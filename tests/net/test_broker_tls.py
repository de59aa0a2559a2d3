"""The broker's listeners with TLS, for clients of other makes and for those who mean no good."""

import asyncio
import hashlib
import json
import logging
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mqttlite import Client
from mqttlite.broker import Arriving, Broker, Limits, Listener, Tls
from mqttlite.core.errors import ConnectError, MQTTError
from tests.broker.raw import port_of
from tests.broker.test_server import until
from tests.certificates import Certificates, Pair
from tests.cli.commands import running
from tests.interop.paho_client import PahoClient
from tests.net.test_client_tls import there_and_back
from tests.peers import RUN_TIMEOUT_S, MosquittoSub, mosquitto_pub, program, run, unavailable
from tests.runtimes import NODE_MODULES, ROOT

LOCAL = "mqtts://127.0.0.1:0"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pair(made: Certificates) -> Pair:
    return made.server()


def tls_of(pair: Pair, **more: Any) -> Tls:
    return Tls(pair.certificate, pair.key, **more)


async def shown(port: int, ca: Path) -> str:
    """The fingerprint of the certificate that a new connection is shown."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=ssl.create_default_context(cafile=ca), server_hostname="localhost"
    )
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return hashlib.sha256(der).hexdigest()


async def test_listeners_of_all_kinds_serve_the_same_sessions(made: Certificates, pair: Pair, tmp_path: Path) -> None:
    kinds = ["mqtt", "mqtts", "ws", "wss"]
    urls = [f"{kind}://127.0.0.1:0" for kind in kinds]
    async with Broker([*urls, f"unix://{tmp_path}/b.sock"], tls=tls_of(pair)) as broker:
        assert [address.partition(":")[0] for address in broker.addresses] == [*kinds, "unix"]
        async with Client(broker.addresses[0], client_id="taker") as taker:
            await taker.subscribe("from/+", qos=2)
            for address in broker.addresses:
                ca = {"ca": made.ca} if address.startswith(("mqtts", "wss")) else {}
                async with Client(address, **ca) as client:  # type: ignore[arg-type]
                    await client.publish("from/" + address.partition(":")[0], os.urandom(100_000), qos=2)
            got = [(await anext(taker)).topic for _ in broker.addresses]
            assert got == [f"from/{kind}" for kind in [*kinds, "unix"]]


async def test_mosquittos_clients_speak_tls_to_it(made: Certificates, pair: Pair) -> None:
    async with Broker([LOCAL], tls=tls_of(pair)) as broker:
        port = port_of(broker.addresses[0])
        ca = ("--cafile", str(made.ca))
        async with MosquittoSub(port, "-t", "a/#", "-q", "2", *ca) as sub:
            for qos in range(3):
                await mosquitto_pub(port, "-t", f"a/{qos}", "-m", "x" * 20_000, "-q", str(qos), *ca)
            assert [(m.topic, len(m.payload), m.qos) for m in await sub.take(3)] == [
                (f"a/{qos}", 20_000, qos) for qos in range(3)
            ]


async def test_paho_speaks_tls_to_it(made: Certificates, pair: Pair) -> None:
    async with Broker([LOCAL], tls=tls_of(pair)) as broker:
        client = PahoClient(port_of(broker.addresses[0]), "paho")
        client.paho.tls_set(ca_certs=str(made.ca))
        async with client:
            await client.subscribe("a", 2)
            payload = os.urandom(200_000)
            for qos in range(3):
                await client.publish("a", payload, qos)
                message = await client.message()
                assert (message.payload, message.qos) == (payload, qos)
        await until(lambda: not broker.connections)


@pytest.mark.parametrize("scheme", ["mqtts", "ws", "wss"])
async def test_mqttjs_speaks_to_it(scheme: str, made: Certificates, pair: Pair) -> None:
    package = NODE_MODULES / "mqtt"
    if not package.exists():
        unavailable("MQTT.js")
    async with Broker([f"{scheme}://127.0.0.1:0"], tls=tls_of(pair)) as broker:
        script = ROOT / "tests" / "node" / "mqttjs_round_trip.mjs"
        done = await run(program("node"), str(script), str(package), broker.addresses[0], str(made.ca), "100000")
        assert [json.loads(line) for line in done.stdout.splitlines()] == [
            [f"room/{qos}", 100_000, qos] for qos in range(3)
        ]


async def test_a_client_has_to_show_a_certificate_where_it_is_required(
    made: Certificates, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    own = made.client()
    other = Certificates(made.folder / "other").client()
    caplog.set_level(logging.INFO)
    listeners = [
        Listener(LOCAL, tls_of(pair, client_ca=made.ca)),
        Listener(LOCAL, tls_of(pair, client_ca=made.ca, client_certificates="optional")),
    ]
    async with Broker(listeners) as broker:
        required, optional = broker.addresses
        for url in (required, optional):
            await there_and_back(url, 1000, ca=made.ca, certificate=own.certificate, key_file=own.key)
        await there_and_back(optional, 1000, ca=made.ca)
        with pytest.raises(ConnectError, match="wants a certificate of the client: give it with certificate="):
            await there_and_back(required, ca=made.ca)
        await until(lambda: "the client shows no certificate, and this listener wants one" in caplog.text)
        for url in (required, optional):
            with pytest.raises(ConnectError, match="does not accept the certificate of this client"):
                await there_and_back(url, ca=made.ca, certificate=other.certificate, key_file=other.key)
        await until(lambda: "the client's certificate does not hold: " in caplog.text)


async def test_a_program_that_says_who_may_connect_sees_the_certificate(made: Certificates, pair: Pair) -> None:
    seen = []

    def authenticate(who: Arriving) -> Generator[bytes, bytes, bytes]:
        seen.append(who.certificate and dict(rdn[0] for rdn in who.certificate["subject"]))
        return b""
        yield

    own = made.client()
    tls = tls_of(pair, client_ca=made.ca, client_certificates="optional")
    listeners = [Listener(LOCAL, tls), Listener("wss://127.0.0.1:0", tls), Listener("mqtt://127.0.0.1:0")]
    async with Broker(listeners, authenticate=authenticate) as broker:
        for url in broker.addresses[:2]:
            await there_and_back(url, 10, ca=made.ca, certificate=own.certificate, key_file=own.key)
            await there_and_back(url, 10, ca=made.ca)
        await there_and_back(broker.addresses[2], 10)
    assert [bool(subject) for subject in seen] == [True, False, True, False, False]
    assert seen[0] == seen[2]
    assert "commonName" in (seen[0] or {})


async def test_what_is_spoken_wrongly_stands_in_the_log_in_words(
    made: Certificates, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with Broker([LOCAL], tls=tls_of(pair)) as broker:
        port = port_of(broker.addresses[0])
        for first, words in (
            (b"\x10\x0c\0\4MQTT\4\2\0\0\0\0", "it speaks MQTT without TLS: the client needs mqtts://"),
            (b"GET / HTTP/1.1\r\n\r\n", "it speaks HTTP without TLS"),
            (b"\0\0\0\0\0\0\0\0", "it does not speak TLS"),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(first)
            await reader.read()
            writer.close()
            await until(lambda words=words: words in caplog.text)
        with pytest.raises(ConnectError):
            await there_and_back(broker.addresses[0], ca=Certificates(made.folder / "stranger").ca)
        await until(
            lambda: "the client does not trust this broker's certificate: it does not know its CA" in caplog.text
        )


async def test_certificates_are_read_again_without_dropping_a_connection(made: Certificates, tmp_path: Path) -> None:
    folder = Certificates(tmp_path)
    first = folder.server()
    async with Broker([LOCAL, "mqtt://127.0.0.1:0"], tls=tls_of(first)) as broker:
        url = broker.addresses[0]
        port = port_of(url)
        async with Client(url, ca=folder.ca, client_id="stays") as client:
            await client.subscribe("a")
            assert await shown(port, folder.ca) == first.fingerprint
            second = folder.server()  # in the same files
            assert broker.reload_certificates() == 1
            assert await shown(port, folder.ca) == second.fingerprint != first.fingerprint

            first.key.write_text("no key")
            with pytest.raises(ValueError, match=r"server\.key holds no private key in PEM"):
                broker.reload_certificates()
            first.certificate.unlink()
            with pytest.raises(ValueError, match=r"cannot read the certificate in .*server\.pem: No such file"):
                broker.reload_certificates()
            assert await shown(port, folder.ca) == second.fingerprint

            await client.publish("a", b"still here", qos=2)
            assert (await anext(client)).payload == b"still here"
            assert client.is_connected


async def test_one_broken_certificate_changes_none(tmp_path: Path) -> None:
    one, two = Certificates(tmp_path / "one"), Certificates(tmp_path / "two")
    pairs = one.server(), two.server()
    async with Broker([Listener(LOCAL, tls_of(pair)) for pair in pairs]) as broker:
        one.server()
        pairs[1].certificate.write_text("broken")
        with pytest.raises(ValueError, match="holds no certificate in PEM"):
            broker.reload_certificates()
        assert await shown(port_of(broker.addresses[0]), one.ca) == pairs[0].fingerprint


async def test_sighup_reads_the_certificates_and_a_broken_file_is_a_line_in_the_log(tmp_path: Path) -> None:
    folder = Certificates(tmp_path)
    pair = folder.server()
    config = tmp_path / "broker.toml"
    config.write_text(
        f'listen = ["mqtts://127.0.0.1:0"]\n[tls]\ncertificate = "{pair.certificate}"\nkey_file = "{pair.key}"\n'
    )
    async with running("broker", "--config", str(config)) as process, asyncio.timeout(RUN_TIMEOUT_S):
        assert process.stderr
        line = b""
        while b"--store keeps them" not in (said := await process.stderr.readline()):
            line = said if b"listening on" in said else line
        port = int(line.rpartition(b":")[2])
        renewed = folder.server()
        process.send_signal(signal.SIGHUP)
        while b"SIGHUP" not in (said := await process.stderr.readline()):
            assert said
        assert b"audit: SIGHUP: another certificate at mqtts://127.0.0.1" in said
        assert b"SIGHUP: all files are read again: 1 change" in await process.stderr.readline()
        assert await shown(port, folder.ca) == renewed.fingerprint
        while b"connection lost" not in await process.stderr.readline():
            pass
        pair.key.write_text("")
        process.send_signal(signal.SIGHUP)
        said = await process.stderr.readline()
        assert b"SIGHUP: nothing is changed: " in said
        assert b"server.key holds no private key in PEM" in said
        assert await shown(port, folder.ca) == renewed.fingerprint


@pytest.mark.parametrize(
    ("tls", "words"),
    [
        ({"certificate": "/nowhere.pem"}, "cannot read the certificate in /nowhere.pem"),
        ({"certificate": "{ca}"}, "holds no private key in PEM .*; give the file of its key, too"),
        ({"certificate": "{certificate}", "key_file": "{secret}"}, "it is encrypted: give its password"),
        (
            {"certificate": "{certificate}", "key_file": "{key}", "client_ca": "{key}"},
            "a private key, and no certificate",
        ),
    ],
)
async def test_a_file_that_is_none_is_named_at_the_start(
    tls: dict[str, str], words: str, made: Certificates, pair: Pair
) -> None:
    secret = made.client(file="secret", password="x").key
    paths = {"ca": made.ca, "certificate": pair.certificate, "key": pair.key, "secret": secret}
    with pytest.raises(MQTTError, match=f"cannot listen on {LOCAL}: .*{words}"):
        async with Broker([LOCAL], tls=Tls(**{name: text.format(**paths) for name, text in tls.items()})):  # type: ignore[arg-type]
            pass


@asynccontextmanager
async def half_open(port: int, hello: bytes, count: int) -> AsyncIterator[list[socket.socket]]:
    """So many connections that have said the beginning of a handshake, and nothing more."""
    loop = asyncio.get_running_loop()
    sockets = []
    try:
        for _ in range(count):
            sock = socket.socket()
            sock.setblocking(False)
            sockets.append(sock)
            await loop.sock_connect(sock, ("127.0.0.1", port))
            await loop.sock_sendall(sock, hello)
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


@pytest.mark.parametrize(
    ("scheme", "hello"),
    [
        ("mqtts", b"\x16\x03\x01\x02\0\x01\0\x01\xfc"),
        ("ws", b"GET /mqtt HTTP/1.1\r\nHost: x\r\n"),
        ("wss", b""),
    ],
)
async def test_handshakes_that_never_end_count_as_half_open_and_cost_nobody_else(
    scheme: str, hello: bytes, made: Certificates, pair: Pair
) -> None:
    limits = Limits(half_open=3, half_open_ms=0)
    async with Broker([f"{scheme}://127.0.0.1:0"], limits, tls=tls_of(pair)) as broker:
        port = port_of(broker.addresses[0].partition("/mqtt")[0])
        async with half_open(port, hello, 10) as sockets:
            await until(lambda: broker.stats.limits["half_open"] == 7)  # the oldest ones have gone
            assert len(broker.engine.half_open) == 3
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(RUN_TIMEOUT_S):
                assert await loop.sock_recv(sockets[0], 1) == b""
            options = {} if scheme == "ws" else {"ca": made.ca}
            await there_and_back(broker.addresses[0], 1000, **options)


async def test_a_handshake_has_the_time_that_connect_has(pair: Pair) -> None:
    async with (
        Broker([LOCAL], tls=tls_of(pair)) as broker,
        half_open(port_of(broker.addresses[0]), b"\x16\x03\x01", 1) as (sock,),
    ):
        await until(lambda: broker.engine.half_open)
        peer = next(iter(broker.engine.half_open))
        broker.engine.tick(peer.opened_at + 60_000)  # a minute later
        broker.flush()
        async with asyncio.timeout(RUN_TIMEOUT_S):
            assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""


@pytest.mark.parametrize("scheme", ["mqtts", "ws", "wss"])
async def test_a_subscriber_that_does_not_read_is_bounded_as_on_tcp(
    scheme: str, made: Certificates, pair: Pair
) -> None:
    """What it does not take stays within the limit of its buffer, is counted, and costs the others nothing."""
    limit = 50_000
    async with Broker(
        [f"{scheme}://127.0.0.1:0", "mqtt://127.0.0.1:0"], Limits(write_buffer_bytes=limit), tls=tls_of(pair)
    ) as broker:
        options = {} if scheme == "ws" else {"ca": made.ca}
        async with Client(broker.addresses[0], client_id="slow", **options) as slow:  # type: ignore[arg-type]
            await slow.subscribe("flood", qos=0)
            transport = slow._connector.transport
            assert transport
            transport._transport.pause_reading()  # type: ignore[union-attr]
            peer = broker.engine.sessions[b"slow"].peer
            assert peer
            async with Client(broker.addresses[1]) as source:
                await source.subscribe("echo", qos=0)
                while not broker.stats.dropped_slow:
                    await source.publish("flood", bytes(10_000), qos=0)
                    await source.publish("echo", b"", qos=0)
                    await anext(source)
                for _ in range(50):
                    await source.publish("flood", bytes(10_000), qos=0)
                await source.publish("echo", b"", qos=1)
                await anext(source)
            assert (
                limit <= peer.unwritten() < limit + 20_000
            )  # the last message that was let in, and the records around it
            assert peer.handle.transport.get_write_buffer_size() == peer.unwritten()
            assert broker.engine.ledger.output >= limit
            transport._transport.resume_reading()  # type: ignore[union-attr]
            assert (await anext(slow)).payload == bytes(10_000)


async def test_what_a_client_is_told_at_the_end_arrives_though_it_is_still_sending(
    made: Certificates, pair: Pair
) -> None:
    """DISCONNECT with its reason, to a client that goes on sending: one direction ends, and the other is read."""
    async with Broker([LOCAL], Limits(packet_bytes=1000), tls=tls_of(pair)) as broker:
        context = ssl.create_default_context(cafile=made.ca)
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(broker.addresses[0]), ssl=context)
        writer.write(b"\x10\x0d\0\4MQTT\5\2\0\0\0\0\0")
        assert (await reader.readexactly(2))[0] == 0x20
        writer.write(b"\x30\xff\xff\x03" + bytes(60_000))
        with_rest = await reader.read(65536)
        while data := await reader.read(65536):
            with_rest += data
        assert b"\xe0" in with_rest
        assert with_rest[with_rest.rindex(b"\xe0") + 2] == 0x95  # packet too large
        writer.transport.abort()


async def test_a_key_that_everybody_on_the_machine_can_read_is_refused(tmp_path: Path) -> None:
    pair = Certificates(tmp_path).server()
    pair.key.chmod(0o644)
    with pytest.raises(MQTTError, match=r"has the key of the certificate, and every user of this machine can read it"):
        await Broker([LOCAL], tls=tls_of(pair)).__aenter__()
    pair.key.chmod(0o640)  # a group of its own, as Debian has it for certificates
    async with Broker([LOCAL], tls=tls_of(pair)):
        pass
