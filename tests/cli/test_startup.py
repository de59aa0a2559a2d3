"""What is loaded when a program starts: on a small computer each module counts. benchmarks/startup.py has the times."""

import sys

import pytest

from tests.peers import run

# Long to load, and for others.
HEAVY = (
    "mqttlite.broker",
    "mqttlite.link",
    "mqttlite.sim",
    "mqttlite.database",
    "mqttlite.store.sqlite",
    "mqttlite_gateway",
)
HEAVY += ("sqlite3", "json", "tomllib", "ipaddress", "urllib", "shutil", "tempfile", "dataclasses", "importlib.util")


async def loaded(code: str) -> set[str]:
    """The modules that are there when `code` has run."""
    result = await run(sys.executable, "-c", f"import sys\n{code}\nprint('MODULES', *sys.modules)")
    return set(result.stdout.partition("MODULES ")[2].split())


def ours(modules: set[str]) -> list[str]:
    return sorted(name.removeprefix("mqttlite.") for name in modules if name.startswith("mqttlite."))


def heavy(modules: set[str]) -> list[str]:
    return sorted(name for name in modules if name.startswith(HEAVY))


async def test_the_package_alone_loads_nothing() -> None:
    beside = await loaded("")
    assert await loaded("import mqttlite") - beside == {"mqttlite"}


async def test_the_client_loads_little_beside_asyncio() -> None:
    beside = await loaded("import asyncio")
    found = await loaded("from mqttlite.client import Client")
    assert not [name for name in found - beside if not name.startswith("mqttlite")]
    assert not heavy(found - beside)


async def test_help_loads_what_it_takes_to_parse_a_command_line_and_not_asyncio() -> None:
    found = await loaded("from mqttlite.cli import main; main(['pub', '--help'])")
    assert [name for name in ours(found) if name.startswith("cli.")] == [
        "cli.arguments",
        "cli.messages",
        "cli.messages.connecting",
        "cli.messages.properties",
        "cli.messages.pub",
        "cli.streams",
    ]
    assert not [name for name in ours(found) if name.startswith(("client", "store", "serial"))]
    assert not heavy(found) and not found & {"asyncio", "ssl", "logging", "socket"}


@pytest.mark.parametrize("command", ["pub', '-m', 'b", "sub"])
async def test_a_run_loads_its_own_module_the_client_and_argparse_and_no_tls(command: str) -> None:
    beside = await loaded("import asyncio")
    words = f"['{command}', '-t', 'a', '-L', 'unix:///no/such/broker']"
    found = await loaded(f"from mqttlite.cli import main; assert main({words}) == 1")
    standard = {name for name in found - beside if not name.startswith("mqttlite")}
    assert standard <= {"argparse", "gc", "gettext", "encodings.idna", "stringprep", "unicodedata", "select"}
    assert not heavy(found - beside) and "ssl" not in found
    assert len([name for name in ours(found) if name.startswith("cli.")]) <= 10


@pytest.mark.parametrize("command", ["ctl", "top"])
async def test_who_looks_at_a_broker_loads_of_it_where_its_socket_is(command: str) -> None:
    found = await loaded(f"from mqttlite.cli import main; main(['{command}', '--help'])")
    assert [name for name in ours(found) if name.startswith(("broker.", "client", "store", "net"))] == [
        "broker.operating",
        "broker.operating.control_path",
    ]
    assert not found & {"asyncio", "ssl", "sqlite3", "logging"}


async def test_what_was_left_out_can_be_had_afterwards() -> None:
    code = "from mqttlite.cli.messages import loading\nwith loading('mqtt://localhost'):\n    import asyncio\n"
    assert "ssl" in await loaded(code + "import gc, ssl; assert gc.isenabled()")
