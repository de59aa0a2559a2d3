"""examples/payments: ledger and producer are killed at random instants, again and again, and each payment is charged
once. Real processes, real databases, real brokers.
"""

import asyncio
import random
import sys
from pathlib import Path

import pytest

from mqttlite.client import Client
from tests.crash.program import Death, Program
from tests.crash.proxy import Proxy
from tests.database.world import AT_A_BROKER, World
from tests.peers import run
from tests.runtimes import ROOT

FOLDER = ROOT / "examples" / "payments"
ENV = {"PYTHONPATH": str(ROOT)}

PAYMENTS = 40
KILLS = 4  # of each program
PACKETS = 4 * PAYMENTS  # PUBLISH, PUBREC, PUBREL, PUBCOMP: neither program can do its work with fewer
JITTER_S = 0.01  # how long after its packet a kill may come


def deaths(draw: random.Random) -> list[Death]:
    """Random packets, none of which a life can end before; half of them let the program go on for some instants."""
    last = PACKETS // (KILLS + 1)
    return [Death(draw.randint(1, last), draw.choice((0.0, JITTER_S * draw.random()))) for _ in range(KILLS)]


@pytest.mark.parametrize(("world", "port"), [at for at in AT_A_BROKER if not at[0].endswith("_pool")], indirect=True)
async def test_every_payment_is_charged_once_although_ledger_and_producer_are_killed_again_and_again(
    world: World, port: int, tmp_path: Path
) -> None:
    database = str(world.place)
    if world.kind == "asyncpg":
        database = database.replace("postgresql://", "postgresql+asyncpg://")
    ledger_py = (sys.executable, str(FOLDER / "ledger.py"), "--database", database)
    store = tmp_path / "pay.db"
    pay_py = (sys.executable, str(FOLDER / "pay.py"), "alice", "100", "--store", str(store))
    async with Client(f"mqtt://127.0.0.1:{port}", client_id="ledger") as first:
        await first.subscribe("payments", 2)  # from now on the broker keeps what is published

    draw = random.Random(1)
    async with Proxy(port) as to_ledger, Proxy(port) as to_pay, asyncio.TaskGroup() as group:
        ledger = Program("ledger", (*ledger_py, "--broker", to_ledger.url), to_ledger, ENV)
        pay = Program("pay", (*pay_py, "--times", str(PAYMENTS), "--broker", to_pay.url), to_pay, ENV)
        ledger_lives = group.create_task(ledger.live(deaths(draw)))
        await pay.live(deaths(draw))
        store.unlink()  # so all are published again; the one that is new is charged after them
        again = (*pay_py, "--times", str(PAYMENTS + 1), "--broker", to_pay.url)
        assert (await run(*again, env=ENV)).stdout == "all confirmed\n"
        while not await world.rows(f"SELECT * FROM payments WHERE id = 'alice-{PAYMENTS + 1}'"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        ledger_lives.cancel()
    assert (ledger.kills, pay.kills) == (KILLS, KILLS)

    payments = await world.rows("SELECT id, account, cents FROM payments")
    assert sorted(payments) == sorted((f"alice-{number}", "alice", 100) for number in range(1, PAYMENTS + 2))
    assert (await run(*ledger_py, "--show", env=ENV)).stdout == f"alice: {PAYMENTS + 1}.00\n"
    assert await world.rows("SELECT * FROM mqttlite_dead") == []
