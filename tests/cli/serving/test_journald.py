"""The journal's own protocol, by a socket in its place; that systemd's journal takes it, tools/test_deb.sh shows."""

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mqttlite.cli.serving.journald import JournalHandler, encoded, journal
from mqttlite.cli.serving.log_forms import start


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        found.bind(str(tmp_path / "socket"))
        found.settimeout(5)
        yield found


def record(text: str, *args: object, **extra: object) -> logging.LogRecord:
    return logging.getLogger("mqttlite.broker").makeRecord(
        "mqttlite.broker", logging.WARNING, "x.py", 1, text, args, None, extra=dict(extra)
    )


def test_a_record_is_a_datagram_with_fields(daemon: socket.socket, tmp_path: Path) -> None:
    handler = JournalHandler("mqttlite-broker", str(tmp_path / "socket"))
    handler.emit(record("%s is refused", "kitchen", event="refused", fields={"client": "kitchen", "duration_s": 1.5}))
    assert daemon.recv(65536).decode().splitlines() == [
        "MESSAGE=kitchen is refused",
        "PRIORITY=4",
        "SYSLOG_IDENTIFIER=mqttlite-broker",
        "LOGGER=mqttlite.broker",
        "MQTTLITE_EVENT=refused",
        "MQTTLITE_CLIENT=kitchen",
        "MQTTLITE_DURATION_S=1.5",
    ]
    handler.close()


def test_a_newline_in_a_clients_name_makes_no_field_of_its_own(daemon: socket.socket, tmp_path: Path) -> None:
    handler = JournalHandler("x", str(tmp_path / "socket"))
    handler.emit(record("hello", fields={"client": "a\nPRIORITY=0"}))
    data = daemon.recv(65536)
    assert b"MQTTLITE_CLIENT\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\n" in data
    handler.close()


def test_what_no_datagram_holds_is_handed_over_as_a_sealed_file(daemon: socket.socket, tmp_path: Path) -> None:
    handler = JournalHandler("x", str(tmp_path / "socket"))
    text = "long " * 200_000
    handler.emit(record("%s", text))
    _, files, _, _ = socket.recv_fds(daemon, 16, 1)
    with os.fdopen(files[0], "rb") as file:
        file.seek(0)
        assert file.read().startswith(b"MESSAGE=" + text.encode()[:1000])
        seals = fcntl.fcntl(file, fcntl.F_GET_SEALS)
    assert seals == fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    handler.close()


def test_without_a_journal_there_is_no_handler(tmp_path: Path) -> None:
    assert journal("x", str(tmp_path / "nobody")) is None


def test_when_the_journal_has_gone_the_record_goes_to_standard_error(
    daemon: socket.socket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = JournalHandler("x", str(tmp_path / "socket"))
    daemon.close()
    (tmp_path / "socket").unlink()
    handler.emit(record("is not lost", fields={"port": "/dev/ttyUSB0"}))
    assert capsys.readouterr().err == "<4>is not lost port=/dev/ttyUSB0\n"
    handler.close()


def test_a_journal_that_was_started_again_gets_the_next_record(daemon: socket.socket, tmp_path: Path) -> None:
    handler = JournalHandler("x", str(tmp_path / "socket"))
    daemon.close()
    (tmp_path / "socket").unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "socket"))
        other.settimeout(5)
        handler.emit(record("again"))
        assert other.recv(65536).startswith(b"MESSAGE=again\n")
    handler.close()


def test_a_program_whose_standard_error_is_the_journals_speaks_to_it(
    daemon: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mqttlite.cli.serving.log_forms._fitting", lambda: "journal")
    monkeypatch.setattr("mqttlite.cli.serving.journald.SOCKET", str(tmp_path / "socket"))
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers[:] = []
    try:
        start("", logging.INFO, "mqttlite-gateway")
        assert [type(handler) for handler in root.handlers] == [JournalHandler]
        root.handlers[0].close()
    finally:
        root.handlers[:] = before


def test_fields_are_lines_unless_a_newline_is_in_them() -> None:
    assert encoded({"A": "1", "B": "x\ny"}) == b"A=1\nB\n\x03\0\0\0\0\0\0\0x\ny\n"
