"""examples/payments: a ledger that is killed again and again is charged once for each payment."""

import asyncio
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from tests.peers import Mosquitto, end, run
from tests.runtimes import ROOT

FOLDER = ROOT / "examples" / "payments"


async def test_the_ledger_is_charged_once_for_each_payment_through_kills(mosquitto: Mosquitto, tmp_path: Path) -> None:
    command = (sys.executable, str(FOLDER / "ledger.py"), "--broker", mosquitto.url)
    env = {"PYTHONPATH": str(ROOT)}
    pay = (sys.executable, str(FOLDER / "pay.py"), "alice", "100", "--broker", mosquitto.url)
    for life in range(5):
        ledger = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, env=env, stdout=asyncio.subprocess.PIPE)
        try:
            assert ledger.stdout
            while (line := await ledger.stdout.readline()) != b"ready\n":
                assert line
            if life < 2:  # the same numbers twice: the second time, nothing is paid
                await run(*pay, "--times", "40", folder=tmp_path, env=env)
            for _ in range(12 if life < 3 else 0):
                if life == 0 or not _is_complete(tmp_path):
                    await ledger.stdout.readline()
            while life == 4 and not _is_complete(tmp_path):
                assert await ledger.stdout.readline()
        finally:
            if ledger.returncode is None:
                ledger.send_signal(signal.SIGKILL)
            await end(ledger)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        assert db.execute("SELECT cents FROM accounts WHERE name = 'alice'").fetchall() == [(4000,)]
        assert len(db.execute("SELECT DISTINCT id FROM payments").fetchall()) == 40
    shown = await run(*command, "--show", folder=tmp_path, env=env)
    assert shown.stdout == "alice: 40.00\n"


def _is_complete(folder: Path) -> bool:
    with closing(sqlite3.connect(folder / "ledger.db")) as db:
        return bool(db.execute("SELECT count(*) FROM payments").fetchone() == (40,))
