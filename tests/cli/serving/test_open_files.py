"""A broker may have as many files open as it may have connections, whatever the shell says."""

import re
import subprocess
import sys

import pytest

LISTEN = ["-m", "mqttlite", "broker", "--listen", "mqtt://127.0.0.1:0"]


def _begun(soft: int, hard: int, *options: str) -> tuple[str, int]:
    """The first lines of its log, and how many files it may have open."""
    command = f"ulimit -Sn {soft} && ulimit -Hn {hard} && exec '{sys.executable}' {' '.join([*LISTEN, *options])}"
    with subprocess.Popen(["sh", "-c", command], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        log = ""
        for line in process.stderr:
            log += line
            if "sessions live in memory" in line:
                break
        with open(f"/proc/{process.pid}/limits", encoding="ascii") as file:
            (found,) = re.findall(r"^Max open files +(\d+)", file.read(), re.MULTILINE)
        process.terminate()
        process.stderr.read()
    return log, int(found)


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_a_broker_raises_the_limit_of_open_files_to_what_its_connections_need_and_a_flood_of_them() -> None:
    log, files = _begun(256, 20_000)
    assert files == 16_384 and "files open" not in log
    log, files = _begun(256, 1600)
    assert files == 1600 and "files open" not in log
    log, files = _begun(256, 20_000, "--limit", "connections=18000")
    assert files == 18_500
    log, files = _begun(256, 1024)
    assert files == 1024
    assert "too few for 1000 connections; raise the limit (ulimit -Hn" in log
    assert "lower the limit 'connections' to 524" in log
