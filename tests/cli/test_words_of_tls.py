"""What the client says about TLS names arguments of a program; on the command line, options."""

from pathlib import Path

import pytest

from mqttlite.broker import Broker, Tls
from mqttlite.cli.connecting import in_options
from tests.certificates import Certificates
from tests.cli.commands import mqttlite


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("give it with ca=; or else", "give it with --cafile; or else"),
        ("the right one, fingerprint='AB:CD' pins it", "the right one, --fingerprint 'AB:CD' pins it"),
        ("give it with certificate= and key_file=", "give it with --cert and --key"),
        ("signed by the CA of ca= (it is", "signed by the CA of --cafile (it is"),
        ("say server_name= if you know", "say --server-name if you know"),
        ("takes none of the protocols of alpn=", "takes none of the protocols of --tls-alpn"),
    ],
)
def test_an_argument_is_shown_as_an_option(said: str, shown: str) -> None:
    assert in_options(said).endswith(shown)


async def test_a_broker_whose_certificate_is_not_known_is_reached_as_the_error_says(tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    pair = made.server(self_signed=True)
    async with Broker(["mqtts://127.0.0.1:0"], tls=Tls(pair.certificate, pair.key)) as broker:
        publish = ("pub", "-L", broker.addresses[0], "-t", "a", "-m", "1")
        refused = await mqttlite(*publish)
        assert refused.code == 1
        assert "give it with --cafile; if it is the right one, --fingerprint '" in refused.stderr
        pin = refused.stderr.partition("--fingerprint '")[2].partition("'")[0]
        assert (await mqttlite(*publish, "--fingerprint", pin)).code == 0
        assert (await mqttlite(*publish, "--cafile", str(pair.certificate))).code == 0
