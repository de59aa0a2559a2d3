"""What the client says about TLS names arguments of a program; on the command line, options."""

import logging
from pathlib import Path

import pytest

from mqttlite.broker import Broker, Tls
from mqttlite.cli.messages.connecting import in_options
from mqttlite.cli.running import LogFormatter
from tests.broker.raw import port_of
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


async def test_who_forgets_the_ca_is_told_the_options_for_tls(tmp_path: Path) -> None:
    pair = Certificates(tmp_path).server(self_signed=True)
    async with Broker(["mqtts://127.0.0.1:0"], tls=Tls(pair.certificate, pair.key)) as broker:
        port = str(port_of(broker.addresses[0]))
        refused = await mqttlite("pub", "-h", "127.0.0.1", "-p", port, "-t", "a", "-m", "1")
        assert (refused.code, "speaks TLS: give --cafile, --fingerprint or --tls" in refused.stderr) == (1, True)


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


async def test_the_warning_of_insecure_names_options(tmp_path: Path) -> None:
    pair = Certificates(tmp_path).server(self_signed=True)
    async with Broker(["mqtts://127.0.0.1:0"], tls=Tls(pair.certificate, pair.key)) as broker:
        url = broker.addresses[0]
        result = await mqttlite("pub", "-L", url, "-t", "a", "-m", "1", "--insecure", check=True)
        assert result.stderr.startswith(f"mqttlite pub: --insecure: {url.removeprefix('mqtts://')} may be anybody;")
        assert result.stderr.endswith("--cafile or --fingerprint makes it safe\n")


@pytest.mark.parametrize(
    ("form", "values", "shown"),
    [
        (
            "%s: %s",
            ("c", "not pinned with fingerprint=: ask; trying again in 10 ms"),
            "c: not pinned with --fingerprint:",
        ),
        ("%s: %s", ("c", "topic 'a/ca=1' is refused"), "c: topic 'a/ca=1' is refused"),
        ("insecure=True: %s", ("mqtts://h/ca=1",), "--insecure: mqtts://h/ca=1"),
        ("100% of ca=1", (), "100% of ca=1"),
    ],
)
def test_a_line_of_the_clients_log_names_options_and_keeps_topics(
    form: str, values: tuple[str, ...], shown: str
) -> None:
    record = logging.LogRecord("mqttlite.client", logging.WARNING, "", 0, form, values, None)
    assert LogFormatter("%(message)s").format(record).startswith(shown)
