"""TLS and WebSocket on the command line: `pub` and `sub` with Mosquitto's listeners, and mosquitto_sub beside them."""

import asyncio
import json
import ssl
from pathlib import Path

import pytest

from mqttlite.cli import main, parser_of
from mqttlite.cli.messages.connecting import client_options, url_of
from tests.certificates import Certificates
from tests.cli.commands import mqttlite
from tests.peers import Mosquitto, free_port, program, run


class Secure:
    """Mosquitto with TLS, WebSocket, and a listener that wants a certificate of the client."""

    def __init__(self, folder: Path) -> None:
        self.made = Certificates(folder / "tls")
        server = self.made.server("localhost")
        self.fingerprint = server.fingerprint
        files = f"cafile {self.made.ca}\ncertfile {server.certificate}\nkeyfile {server.key}"
        self.tls, self.mutual, self.ws, self.wss = (free_port() for _ in range(4))
        self.broker = Mosquitto(
            folder / "broker",
            settings={
                f"listener {self.tls}": f"127.0.0.1\n{files}",
                f"listener {self.mutual}": f"127.0.0.1\n{files}\nrequire_certificate true",
                f"listener {self.ws}": "127.0.0.1\nprotocol websockets",
                f"listener {self.wss}": f"127.0.0.1\nprotocol websockets\n{files}",
            },
        )


async def published(secure: Secure, *args: str) -> None:
    """`pub` with these options, and a subscriber without TLS that gets it."""
    port = str(secure.broker.port)
    heard = asyncio.create_task(run(program("mosquitto_sub"), "-h", "127.0.0.1", "-p", port, "-t", "a", "-C", "1"))
    await secure.broker.logged("Sending SUBACK", secure.broker.log.count("Sending SUBACK") + 1)
    assert await mqttlite("pub", "-t", "a", "-m", "x", "-q", "1", *args) == (0, "", "")
    assert (await heard).stdout == "x\n"


async def test_host_and_port_become_tls_by_any_of_its_options(tmp_path: Path) -> None:
    secure = Secure(tmp_path)
    with secure.broker:
        at = ("-h", "localhost", "-p", str(secure.tls))
        await published(secure, *at, "--cafile", str(secure.made.ca))
        await published(secure, *at, "--fingerprint", secure.fingerprint, "-V", "5.0")
        await published(secure, "-h", "127.0.0.1", *at[2:], "--cafile", str(secure.made.ca), "--insecure")
        result = await mqttlite("pub", *at, "-t", "a", "-m", "x", "--tls-use-os-certs")
        assert result.code == 1 and "certificate" in result.stderr and result.stderr.count("\n") == 1


async def test_a_client_shows_its_certificate(tmp_path: Path) -> None:
    secure = Secure(tmp_path)
    with secure.broker:
        client = secure.made.client()
        args = ("-L", f"mqtts://localhost:{secure.mutual}", "--cafile", str(secure.made.ca))
        await published(secure, *args, "--cert", str(client.certificate), "--key", str(client.key))
        assert (await mqttlite("pub", *args, "-t", "a", "-m", "x")).code == 1


async def test_websocket_with_and_without_tls(tmp_path: Path) -> None:
    secure = Secure(tmp_path)
    with secure.broker:
        await published(secure, "-L", f"ws://127.0.0.1:{secure.ws}/mqtt")
        await published(secure, "-L", f"wss://localhost:{secure.wss}/mqtt", "--cafile", str(secure.made.ca))


async def test_bench_measures_through_both(tmp_path: Path) -> None:
    secure = Secure(tmp_path)
    with secure.broker:
        url = f"wss://localhost:{secure.wss}/mqtt"
        quick = ("--seconds", "0.2", "--warm-up", "0", "--qos", "1", "--json")
        result = await mqttlite("bench", url, "--cafile", str(secure.made.ca), *quick, check=True)
        assert [run["n"] > 0 and not run["missing"] for run in json.loads(result.stdout)["runs"]] == [True, True]


def test_a_certificate_for_any_name_is_asked_for_by_the_name_that_is_given(tmp_path: Path) -> None:
    line = f"-h 127.0.0.1 --cafile {Certificates(tmp_path).ca} --insecure --server-name broker.example --tls-alpn mqtt"
    args = parser_of("pub").parse_args(["-t", "a", "-m", "x", *line.split()])
    options = client_options(args, url_of(args)[0])
    assert options["server_name"] == "broker.example"
    assert not options["tls"].check_hostname and options["tls"].verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-L mqtt://h --cafile a", "--cafile is about TLS, which mqtt:// has not; write mqtts://"),
        ("-L unix:///a --insecure", "--insecure is about TLS, which unix:// has not"),
        ("--key a", "--key needs --cert"),
        ("--cafile a --capath b", "give either --cafile or --capath"),
        ("--insecure --fingerprint ab", "give one of them"),
        ("--fingerprint ab", "fingerprint"),
        ("--insecure --cafile /dev/null/ca", "cannot read the CA in /dev/null/ca"),
        ("--insecure --cafile /dev/null", "/dev/null holds no certificate"),
        ("--insecure --capath / --cert /dev/null/cert", "cannot read the certificate in /dev/null/cert"),
    ],
)
def test_what_does_not_go_together_is_said(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pub", "-t", "a", "-m", "x", *line.split()]) == 1
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
