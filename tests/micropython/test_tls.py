"""mqtts:// on MicroPython's own TLS, in source and as bundle: a CA, a pinned certificate, and what is said without."""

import ssl
from pathlib import Path

import pytest

from mqttlite.broker import Broker, Listener, Tls
from tests.certificates import Certificates
from tests.peers import MicroPython
from tests.variants.variants import SOURCE, having, library

SCRIPT = """
import asyncio, sys
from mqttlite import Client

url, der, name = sys.argv[1:]
options = {"server_name": name} if name != "-" else {}
if der != "-":
    with open(der, "rb") as file:
        options["tls"] = file.read()

async def main():
    try:
        async with Client(url, timeout_s=20, **options) as client:
            await client.subscribe("a", 2)
            for qos in range(3):
                await client.publish("a", bytes(3000), qos)
                message = await client.__anext__()
                print(len(message.payload), message.qos)
    except Exception as error:
        print(type(error).__name__, error)

asyncio.run(main())
"""


def der_of(pem: Path) -> str:
    """The certificate as a board wants it."""
    path = pem.with_suffix(".der")
    text = pem.read_text()
    path.write_bytes(ssl.PEM_cert_to_DER_cert(text) if "CERTIFICATE" in text else text.encode())
    return str(path)


@pytest.mark.parametrize("variant", having("TLS"))
async def test_a_board_speaks_tls_to_a_broker_whose_ca_or_certificate_it_knows(
    variant: str, micropython: MicroPython, tmp_path: Path
) -> None:
    paths = [library(variant)]
    made = Certificates(tmp_path)
    pair, own = made.server(), made.server(file="self", self_signed=True)
    stranger = Certificates(tmp_path / "stranger")
    listeners = [Listener("mqtts://127.0.0.1:0", Tls(each.certificate, each.key)) for each in (pair, own)]
    async with Broker([*listeners, "mqtt://127.0.0.1:0"]) as broker:
        signed, self_signed, plain = broker.addresses

        async def said(url: str, der: Path | None, name: str = "-") -> str:
            arguments = (url, der_of(der) if der else "-", name)
            return (await micropython.run(SCRIPT, *arguments, heap="512k", path=paths)).stdout.strip()

        there_and_back = "3000 0\n3000 1\n3000 2"
        assert await said(signed, made.ca, "localhost") == there_and_back
        assert await said(self_signed, own.certificate, "localhost") == there_and_back  # pinned
        if variant != SOURCE:  # errors have numbers there
            return
        wrong_ca = await said(signed, stranger.ca, "localhost")
        assert wrong_ca.startswith("ConnectError the broker's certificate does not hold: ")
        assert "not correctly signed by the trusted CA (tls= has to be its CA or itself" in wrong_ca
        assert "does not match with the expected CN" in await said(signed, made.ca, "other.example")
        assert await said(signed, None) == (
            "SettingError mqtts:// needs tls=: the certificate of the broker or of its CA, as bytes (DER)"
        )
        assert await said(signed, pair.key) == "SettingError tls= holds no certificate in DER"
        without = await said(plain.replace("mqtt:", "mqtts:"), made.ca)
        assert without.startswith(
            "ConnectError the broker has ended the connection; if it always does, is this its port"
        )
