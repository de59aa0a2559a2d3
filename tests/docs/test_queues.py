"""docs/queues.md: its programs run as they stand."""

from pathlib import Path

from mqttlite import Client
from tests.docs.pages import program
from tests.docs.running import running

PAGE = "docs/queues.md"


async def publish(url: str, topic: str, *payloads: str) -> None:
    async with Client(url, client_id="producer") as client:
        for payload in payloads:
            await (await client.publish(topic, payload, qos=1))


async def collecting(url: str, topic_filter: str) -> None:
    async with Client(url, client_id="first") as client:
        await client.subscribe(topic_filter, 1)


async def test_a_worker_gets_what_came_before_it(url: str, tmp_path: Path) -> None:
    await collecting(url, "$queue/jobs/jobs/#")
    await publish(url, "jobs/print", "page 1", "page 2")
    async with running(program(PAGE, "worker-1"), url, tmp_path) as output:
        assert await output.readline() == b"working on b'page 1'\n"
        assert await output.readline() == b"working on b'page 2'\n"


async def test_a_viewer_reads_the_log_from_its_beginning(url: str, tmp_path: Path) -> None:
    await collecting(url, "$stream/log/sensors/#")
    await publish(url, "sensors/a", "1", "2")
    async with running(program(PAGE, "viewer"), url, tmp_path) as output:
        assert await output.readline() == b"0 sensors/a b'1'\n"
        assert await output.readline() == b"1 sensors/a b'2'\n"


async def test_the_archive_goes_on_where_its_database_is(url: str, tmp_path: Path) -> None:
    await collecting(url, "$stream/log/sensors/#")
    await publish(url, "sensors/a", "1", "2")
    source = program(PAGE, "archive.db")
    async with running(source, url, tmp_path) as output:
        assert await output.readline() == b"stored b'1'\n"
        assert await output.readline() == b"stored b'2'\n"
    await publish(url, "sensors/a", "3")
    async with running(source, url, tmp_path) as output:
        line = await output.readline()
        while line == b"stored b'2'\n":  # the program was killed before it had committed
            line = await output.readline()
        assert line == b"stored b'3'\n"
