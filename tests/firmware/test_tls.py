"""The board's program with a broker that speaks TLS: `mqtts://`, and `ca` for whom it trusts."""

from pathlib import Path

import pytest

from mqttlite import Client
from mqttlite.boards.settings.settings_file import read_settings
from mqttlite.broker import Broker, Listener, Tls
from tests.certificates import Certificates
from tests.firmware.boards import TOPIC, Board


@pytest.mark.parametrize("trusted", ["the CA", "the broker's own", "another CA"])
async def test_a_board_reaches_a_broker_with_the_certificate_of_its_settings_and_no_other(
    trusted: str, tmp_path: Path, runtime: str
) -> None:
    made = Certificates(tmp_path)
    pair = made.server(self_signed=trusted == "the broker's own")
    file = {
        "the CA": made.ca,
        "the broker's own": pair.certificate,
        "another CA": Certificates(tmp_path / "stranger").ca,
    }[trusted]
    listener = Listener("mqtts://127.0.0.1:0", Tls(pair.certificate, pair.key))
    async with Broker([listener, "mqtt://127.0.0.1:0"]) as broker:
        secure, plain = broker.addresses
        toml = tmp_path / "board.toml"
        toml.write_text(f'name = "one"\nurl = "{secure}"\nca = "{file.name}"\n')
        if trusted == "another CA":
            toml.write_text(toml.read_text().replace("ca.pem", "stranger/ca.pem"))
        values = read_settings(toml)
        assert "BEGIN" not in values["ca"] and values["ca"].startswith("MI")
        async with Client(plain, client_id="watcher", clean_session=True) as client:
            await client.subscribe(f"{TOPIC}/#", 2)
            board = Board(tmp_path / "board", secure, runtime=runtime, heap="768k", ca=values["ca"])
            async with board.running() as process:
                if trusted == "another CA":
                    while "certificate" not in board.output.lower():
                        assert process.returncode is None
                        await _printed(board)
                    assert broker.stats.connected == 1  # the watcher
                else:
                    seen: set[int] = set()
                    async for message in client:
                        seen.add(message.qos)
                        if seen == {0, 1, 2}:
                            break


async def _printed(board: Board) -> None:
    """Wait until the board has printed more."""
    import asyncio

    size = len(board.output)
    async with asyncio.timeout(60):
        while len(board.output) == size:  # noqa: ASYNC110 (a file, which says nothing)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read "),
        ("", "holds no certificate, neither in PEM nor in DER"),
        ("-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\n", "holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "holds no certificate"),
        ("twice", "more than one certificate; a board trusts one"),
    ],
)
def test_a_file_that_is_no_certificate_is_refused_with_its_line(
    content: str | None, words: str, tmp_path: Path
) -> None:
    if content == "twice":
        content = 2 * Certificates(tmp_path / "made").ca.read_text()
    if content is not None:
        (tmp_path / "my.pem").write_text(content)
    toml = tmp_path / "board.toml"
    toml.write_text('name = "one"\nurl = "mqtts://host"\nca = "my.pem"\n')
    with pytest.raises(ValueError, match=f"board.toml:3: ca: .*{words}"):
        read_settings(toml)
