"""What random schedules of the large world have found, each as the least that shows it."""

import errno
from collections.abc import Callable

import pytest

from mqttlite.client import Client
from mqttlite.core.records import ACCEPTED
from mqttlite.database.adapter import DatabaseError
from mqttlite.database.inbox import Inbox
from mqttlite.sim.check.conduct import comparable
from mqttlite.sim.disks.app_database import app_database
from mqttlite.sim.disks.disk import Operation
from mqttlite.sim.large.large import Large
from mqttlite.sim.large.selection import Selection, parse
from mqttlite.sim.lines.serial import SerialLine
from mqttlite.sim.process import Process
from mqttlite.sim.programs import Program, broker, gateway
from mqttlite.sim.scene import attempt
from mqttlite.sim.world import World
from mqttlite.store.base import StoreError
from mqttlite.store.journal import Journal


def test_what_a_journal_keeps_behind_a_failed_sync_of_an_earlier_life_survives_a_power_cut(world: World) -> None:
    """A sync that fails leaves what it has not written readable; nothing may be appended behind it."""
    lives: list[list[int]] = []

    async def main(process: Process) -> None:
        journal = Journal("j", 16384)
        lives.append(sorted((await journal.open()).messages))
        for seq in range(10 * process.life, 10 * process.life + 3):
            journal.record(ACCEPTED, seq, b"\x32\x05\0\1t", b"payload" * 10)
            try:
                await journal.commit()
            except StoreError:
                process.kill()
        process.cut_power()

    process = world.process("device", main, start=False)

    def on_operation(operation: Operation) -> Callable[[], object] | None:
        if (
            process.life == 1
            and operation.what == "sync"
            and process.disk.files().get("j", b"").count(b"payload" * 10) == 2
        ):
            raise OSError(errno.EIO, "Input/output error")
        return None

    process.disk.on_operation = on_operation
    for _ in range(3):
        process.start()
        world.run(5)
    assert lives == [[], [10, 11], [10, 11, 20, 21, 22]]


def test_what_an_inbox_commits_behind_a_failed_sync_of_an_earlier_life_survives_a_power_cut(world: World) -> None:
    """As above, in the application's database: a message that was acknowledged would be gone."""
    lives: list[list[int]] = []

    async def main(process: Process) -> None:
        database = app_database(process.mount)
        await database.create_tables()  # as an inbox and an outbox do
        async with database.transaction() as db:
            db.execute("CREATE TABLE IF NOT EXISTS ledger (entry INTEGER)")
            lives.append([entry for (entry,) in db.execute("SELECT entry FROM ledger ORDER BY entry")])
        for entry in range(10 * process.life, 10 * process.life + 3):
            process.world.reach(f"entry {entry}")
            try:
                async with database.transaction() as db:
                    db.execute("INSERT INTO ledger VALUES (?)", (entry,))
            except DatabaseError:
                process.kill()
        process.cut_power()

    process = world.process("consumer", main, start=False)

    def on_operation(operation: Operation) -> Callable[[], object] | None:
        if process.life == 1 and operation.what == "sync" and world.reached["entry 11"]:
            raise OSError(errno.EIO, "Input/output error")
        return None

    process.disk.on_operation = on_operation
    for _ in range(3):
        process.start()
        world.run(5)
    assert lives[0] == [] and {20, 21, 22} <= set(lives[2])


def test_a_message_with_a_key_that_comes_at_qos_0_comes_without_its_envelope(world: World) -> None:
    got = []

    async def consumer(process: Process) -> None:
        async with Client("mqtt://broker", client_id="consumer", keys=True, retry_first=True) as client:
            await client.subscribe("t", 0)
            world.reach("subscribed")
            async for message in client:
                got.append((message.qos, message.payload, message.key))

    async def producer(process: Process) -> None:
        async with Client("mqtt://broker", client_id="producer", keys=True) as client:
            await client.publish("t", "paid", 1, key=("till", 7))
            await client.publish("t", "seen", 0)

    for name, main in (("broker", broker()), ("consumer", consumer)):
        world.process(name, main)
    assert world.run_until(lambda: world.reached["subscribed"] == 1, 60)
    world.process("producer", producer)
    world.run(5)
    assert got == [(0, b"paid", ("till", 0, 7)), (0, b"seen", None)]


@pytest.mark.parametrize("has_inbox", [True, False])
def test_an_applications_own_numbers_are_never_too_old_however_often_its_client_begins_anew(
    world: World, has_inbox: bool
) -> None:
    """The client's keys and the application's have the same producer; each life without a store is an epoch."""
    got = []

    async def consumer(process: Process) -> None:
        client = Client("mqtt://broker", client_id="consumer", keys=True, retry_first=True)
        inbox = Inbox(client, app_database(process.mount)) if has_inbox else None
        async with client:
            await client.subscribe("t", 2)
            world.reach("subscribed")
            if inbox:
                await inbox.run(lambda db, message: got.append(message.payload))
            async for message in client:
                got.append(message.payload)

    async def producer(process: Process) -> None:
        async with Client("mqtt://broker", client_id="till", keys=True) as client:
            await client.publish("t", "status", 1)
            await client.publish("t", "paid", 1, key=("till", process.life))
            await client.publish("t", "paid", 1, key=("till", process.life))

    for name, main in (("broker", broker()), ("consumer", consumer)):
        world.process(name, main)
    assert world.run_until(lambda: world.reached["subscribed"] == 1, 60)
    till = world.process("till", producer, start=False)
    for _ in range(12):
        till.start()
        world.run(5)
    assert got == [b"status", b"paid"] * 12


def test_a_device_that_has_lost_its_store_gets_its_session_cleared_over_a_slow_line(world: World) -> None:
    """65,535 identifiers are 262 kB, four and a half minutes at 9600 baud, and PINGRESP comes behind their answers."""
    connections: list[str] = []

    async def device(process: Process) -> None:
        client = Client(
            "serial:///dev/ttyUSB0?baud=9600",
            client_id="device",
            store=Journal(f"journal {process.life}", 16384),
            keep_alive_s=5,
            timeout_s=5,
            retry_first=True,
            on_connection=lambda connected, reason: connections.append(reason),
        )
        async with client:
            await client.publish("t", "paid", 2)
            if await client.drain(1000):
                world.reach(f"done {process.life}")

    SerialLine(world, "device", "/dev/ttyUSB0", "gateway", "/dev/ttyACM0")
    world.process("broker", broker())
    world.process("gateway", gateway("/dev/ttyACM0?baud=9600"))
    process = world.process("device", device)
    assert world.run_until(lambda: world.reached["done 1"] == 1, 60)
    process.restart()
    assert world.run_until(lambda: world.reached["done 2"] == 1, 900)
    assert not any(connections)  # none was lost


def test_many_short_lives_in_one_second_are_new_epochs_each(world: World) -> None:
    """Without a store each connection is an epoch. Named by the second, and by chance within it, the ninth could be
    lower than eight others, and so too old: acknowledged, and not handled.
    """
    got = []

    async def consumer(process: Process) -> None:
        client = Client("mqtt://broker", client_id="consumer", keys=True, retry_first=True)
        async with client:
            await client.subscribe("t", 2)
            world.reach("subscribed")
            async for message in client:
                got.append(int(message.payload))

    async def script(process: Process) -> None:
        for number in range(50):
            async with Client("mqtt://broker", client_id="script", clean_session=True, keys=True) as client:
                await client.publish("t", str(number), 2)
                await client.drain(10)

    world.process("broker", broker())
    world.process("consumer", consumer)
    assert world.run_until(lambda: world.reached["subscribed"] == 1, 60)
    begun = world.now
    world.process("script", script)
    assert world.run_until(lambda: 49 in got, 10)
    assert world.now - begun < 1_000_000_000
    assert got == list(range(50))


def received_over_a_slow_line(world: World, device: Program) -> list[int]:
    """First bytes of what a consumer gets at QoS 0 from a device at 9600 baud, until that is "done"."""
    got = []

    async def consumer(process: Process) -> None:
        async with Client("mqtt://broker", client_id="consumer", retry_first=True) as client:
            await client.subscribe("t", 0)
            world.reach("subscribed")
            async for message in client:
                got.append(message.payload[0])

    SerialLine(world, "device", "/dev/ttyUSB0", "gateway", "/dev/ttyACM0")
    world.process("broker", broker())
    world.process("gateway", gateway("/dev/ttyACM0?baud=9600"))
    world.process("consumer", consumer)
    assert world.run_until(lambda: world.reached["subscribed"] == 1, 60)
    world.process("device", device)
    assert world.run_until(lambda: world.reached["done"] == 1, 60)
    world.run(1)
    return got


def test_what_was_published_at_qos_0_leaves_a_slow_line_before_the_client_is_closed(world: World) -> None:
    """Four kilobytes take four seconds at 9600 baud: the orderly end gave them one, and counted nothing."""

    async def device(process: Process) -> None:
        async with Client("serial:///dev/ttyUSB0?baud=9600", client_id="device", retry_first=True) as client:
            for number in range(4):
                await client.publish("t", bytes([number]) * 1000, 0)
        world.reach("done")

    assert received_over_a_slow_line(world, device) == [0, 1, 2, 3]


def test_a_line_that_is_busy_for_longer_than_keep_alive_and_time_out_is_not_given_up(world: World) -> None:
    """PINGREQ waits behind 20 kB at 9600 baud: its answer was missed before it had left."""
    connections: list[bool] = []

    async def device(process: Process) -> None:
        client = Client(
            "serial:///dev/ttyUSB0?baud=9600",
            client_id="device",
            keep_alive_s=5,
            timeout_s=5,
            retry_first=True,
            on_connection=lambda connected, _: connections.append(connected),
        )
        async with client:
            for number in range(20):
                await client.publish("t", bytes([number]) * 1000, 0)
            await client.drain(1000)
        world.reach("done")

    assert received_over_a_slow_line(world, device) == list(range(20))
    assert connections == [True]


def test_a_device_without_keys_keeps_in_doubt_what_a_broker_had_taken_that_lost_its_disk() -> None:
    """Neither lost nor doubled in silence: its application is told, and may ask for it."""
    run = Large(300_225, 0, Selection(frozenset({"device2"}), 10, parse("2,6")))
    assert not attempt(run)
    assert run.ledger.in_doubt == {"device2 9"}


def test_an_alias_that_was_set_behind_a_cut_is_nothing_to_stumble_over() -> None:
    body = b"%b\0\1\3#\0\7payload"  # topic, identifier, topic alias 7
    aliases: dict[int, bytes] = {}
    assert comparable(body % b"\0\0", aliases, True) == b""  # seed 300358
    named = comparable(body % b"\0\1t", aliases, True)
    assert comparable(body % b"\0\0", aliases, True) == named
