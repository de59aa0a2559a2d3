"""`mqttlite broker` at SIGHUP: all of it or nothing, under traffic."""

import asyncio
import contextlib
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mqttlite import Client, ConnectError, RefusedError
from mqttlite.broker.access.passwords import hashed
from tests.certificates import Certificates
from tests.cli.commands import mqttlite, running
from tests.peers import RUN_TIMEOUT_S, free_port, program, run


class Running:
    """The command beside the test, its log, and its file."""

    def __init__(self, process: asyncio.subprocess.Process, config: Path) -> None:
        self.process = process
        self.config = config
        self.said: list[str] = []
        self.socket = ""

    async def says(self, what: str) -> str:
        """The next line in which this stands; those before it are kept in `said`."""
        assert self.process.stderr
        async with asyncio.timeout(RUN_TIMEOUT_S):
            while line := (await self.process.stderr.readline()).decode():
                self.said.append(line)
                if found := re.search("control socket (/.*)$", line):
                    self.socket = found[1]
                if what in line:
                    return line
        raise AssertionError(f"ended without saying {what!r}: {''.join(self.said)}")

    async def reload(self, text: str | None = None) -> list[str]:
        """SIGHUP, after the file says `text`; the lines of the log about it."""
        if text is not None:
            self.config.write_text(text)
        self.said.clear()
        self.process.send_signal(signal.SIGHUP)
        last = await self.says(" SIGHUP: ")
        while "audit:" in last:
            last = await self.says(" SIGHUP: ")
        return [re.sub(r"^\S+ \S+ ", "", line.rstrip()) for line in self.said if "SIGHUP" in line]


@contextlib.asynccontextmanager
async def broker(config: Path, text: str, *words: str) -> AsyncIterator[Running]:
    config.write_text(text)  # noqa: ASYNC240
    async with running("broker", "--config", str(config), *words) as process:
        found = Running(process, config)
        await found.says("control socket")
        yield found


def users(path: Path, *names: str) -> None:
    path.touch(0o600)
    path.write_text("".join(f"{name}:{hashed(name.encode())}\n" for name in names))


async def test_users_rules_and_limits_change_under_traffic_and_only_who_has_lost_its_right_is_disconnected(
    tmp_path: Path,
) -> None:
    port, file = free_port(), tmp_path / "users"
    users(file, "ann", "bob", "eve")
    head = f'listen = ["mqtt://127.0.0.1:{port}"]\n[access]\npassword_file = "{file}"\n'
    rules = '[[rule]]\nall = ["#"]\n'
    url = f"mqtt://127.0.0.1:{port}"
    async with (
        broker(tmp_path / "broker.toml", head + rules) as told,
        Client(url, client_id="a", username="ann", password="ann") as ann,
        Client(url, client_id="b", username="bob", password="bob") as bob,
        Client(url, client_id="e", username="eve", password="eve") as eve,
    ):
        await bob.subscribe("count", 2)
        await eve.subscribe("count", 1)
        numbers: list[int] = []
        first, last = asyncio.Event(), asyncio.Event()

        async def count() -> None:
            number = 0
            while True:
                await (await ann.publish("count", str(number), 2))
                number += 1

        async def receive() -> None:
            async for message in bob:
                numbers.append(int(message.payload))
                if len(numbers) == 50:
                    first.set()
                elif len(numbers) == 500:
                    last.set()

        async with asyncio.TaskGroup() as tasks:
            both = [tasks.create_task(count()), tasks.create_task(receive())]
            async with asyncio.timeout(RUN_TIMEOUT_S):
                await first.wait()
                users(file, "ann", "bob", "carol")
                lines = await told.reload(head + rules + "[limits]\nfilters = 5\n")
                await last.wait()
            for task in both:
                task.cancel()
        changes = [line.removeprefix("INFO audit: SIGHUP: ") for line in lines[:-1]]
        assert sorted(changes) == [
            "limit filters: 10000, now 5",
            "user 'ann' has another password",  # another salt
            "user 'bob' has another password",
            "user 'carol' is added",
            "user 'eve' is deleted",
        ]
        assert lines[-1] == "INFO SIGHUP: all files are read again: 5 changes"
        # Who is gone is gone; the others have shown the right password again, and nothing is lost or twice.
        assert numbers == sorted(set(numbers)) and numbers[-1] == len(numbers) - 1
        with pytest.raises(RefusedError):
            async with Client(url, client_id="e2", username="eve", password="eve"):
                pass
        async with Client(url, client_id="c", username="carol", password="carol") as carol:
            await carol.subscribe("x")


async def test_who_keeps_its_password_keeps_its_connection(tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "users"
    users(file, "ann")
    text = f'listen = ["mqtt://127.0.0.1:{port}"]\n[access]\npassword_file = "{file}"\n'
    async with (
        broker(tmp_path / "broker.toml", text) as told,
        Client(f"mqtt://127.0.0.1:{port}", client_id="a", username="ann", password="ann") as ann,
    ):
        await mqttlite("passwd", "-b", str(file), "bob", "x", check=True)
        lines = await told.reload(text + '[[rule]]\nuser = "ann"\nsubscribe = ["in"]\npublish = ["out"]\n')
        assert lines[:-1] == [
            "INFO audit: SIGHUP: user 'bob' is added",
            "INFO audit: SIGHUP: rules: there were none, now 2",
        ]
        await ann.subscribe("in")
        await (await ann.publish("out", "x", 1))
        assert not [line for line in told.said if "closed" in line]


async def test_listeners_come_and_go_and_connections_stay(tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    text = 'listen = ["mqtt://127.0.0.1:{}"]\n'
    async with (
        broker(tmp_path / "broker.toml", text.format(first)) as told,
        Client(f"mqtt://127.0.0.1:{first}", client_id="a") as client,
    ):
        lines = await told.reload(text.format(second))
        assert lines[:-1] == [
            f"INFO audit: SIGHUP: does not listen on mqtt://127.0.0.1:{first} any more",
            f"INFO audit: SIGHUP: listens on mqtt://127.0.0.1:{second}",
        ]
        await (await client.publish("t", "x", 1))
        with pytest.raises(ConnectError):
            async with Client(f"mqtt://127.0.0.1:{first}"):
                pass
        async with Client(f"mqtt://127.0.0.1:{second}") as other:
            await (await other.publish("t", "x", 1))
        await (await client.publish("t", "x", 1))


async def test_a_port_moves_from_this_machine_to_the_network_once_there_are_users(tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "users"
    users(file, "ann")
    config = tmp_path / "broker.toml"
    async with broker(config, f'listen = ["mqtt://127.0.0.1:{port}"]\n') as told:
        refused = await told.reload(f'listen = ["mqtt://0.0.0.0:{port}"]\n')
        assert len(refused) == 1 and "can be reached from other machines, and there are no users" in refused[0]
        async with Client(f"mqtt://127.0.0.1:{port}"):
            pass
        lines = await told.reload(f'listen = ["mqtt://0.0.0.0:{port}"]\n[access]\npassword_file = "{file}"\n')
        assert f"INFO audit: SIGHUP: listens on mqtt://0.0.0.0:{port}" in lines
        async with Client(f"mqtt://127.0.0.1:{port}", username="ann", password="ann"):
            pass
        with pytest.raises(RefusedError):
            async with Client(f"mqtt://127.0.0.1:{port}"):
                pass


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[limits]\nfilter = 3", "line 5: [limits]: there is no limit 'filter'; did you mean filters?"),
        ("[limits", "line 4: Expected ']'"),
        ("[access]\nrule_file = '/nowhere'", "cannot read /nowhere"),
        ("[[rule]]\nall = ['a/#/b']", "line 5: [[rule]] number 1: 'a/#/b' is no topic filter"),
        ("[[listener]]\nurl = 'mqtt://192.0.2.77:1'", "192.0.2.77 is not an address of this machine"),
        (
            "[[listener]]\nurl = 'mqtts://127.0.0.1:0'\ncertificate = '/nowhere'",
            "cannot read the certificate in /nowhere",
        ),
        ("[metrics]\nlisten = '127.0.0.1:1'", "metrics is another one, which needs a restart of the broker"),
    ],
)
async def test_a_mistake_anywhere_changes_nothing_at_all(text: str, error: str, tmp_path: Path) -> None:
    """Beside the mistake stands a new listener, another limit, and no anonymous client: none of them holds."""
    port, other = free_port(), free_port()
    config = tmp_path / "broker.toml"
    async with broker(config, f'listen = ["mqtt://127.0.0.1:{port}"]\n') as told:
        more = "" if text.startswith("[access]") else '[access]\nanonymous = "nobody"\n'
        head = f'listen = ["mqtt://127.0.0.1:{other}"]\n' + (more or "\n\n")
        lines = await told.reload(head + text)
        assert len(lines) == 1 and lines[0].startswith("ERROR SIGHUP: nothing is changed: ") and error in lines[0]
        asked = await mqttlite("ctl", "--socket", told.socket, "reload")
        assert (asked.code, "nothing is changed: " in asked.stderr) == (1, True)
        await told.says("ERROR control socket (user ")  # the log has it, too
        assert "nothing is changed" in told.said[-1] and error in told.said[-1]
        async with Client(f"mqtt://127.0.0.1:{port}") as client:
            await (await client.publish("t", "x", 1))
        with pytest.raises(ConnectError):
            async with Client(f"mqtt://127.0.0.1:{other}"):
                pass


async def test_a_certificate_maps_to_a_user_whose_right_ends_with_a_rule(tmp_path: Path) -> None:
    made = Certificates(tmp_path / "ca")
    server, kitchen, cellar = made.server(), made.client("kitchen"), made.client("cellar", file="cellar")
    port = free_port()
    text = f"""
        [access]
        certificate_users = "common-name"
        [[listener]]
        url = "mqtts://127.0.0.1:{port}"
        certificate = "{server.certificate}"
        key_file = "{server.key}"
        client_ca = "{made.ca}"
        [[rule]]
        publish = ["room/%u"]
        [[rule]]
        user = "cellar"
        subscribe = ["room/+"]
        """
    url = f"mqtts://127.0.0.1:{port}"

    def client(pair: object, name: str) -> Client:
        return Client(url, client_id=name, ca=made.ca, certificate=pair.certificate, key_file=pair.key)  # type: ignore[attr-defined]

    async with (
        broker(tmp_path / "broker.toml", text) as told,
        client(cellar, "c") as reader,
        client(kitchen, "k") as writer,
    ):
        await reader.subscribe("room/+", 1)
        await (await writer.publish("room/cellar", "not mine", 1))
        await (await writer.publish("room/kitchen", "21.5", 1))
        message = await asyncio.wait_for(anext(aiter(reader)), RUN_TIMEOUT_S)
        assert (message.topic, message.payload) == ("room/kitchen", b"21.5")
        await told.reload(text.replace('["room/+"]', '["other"]'))
        await (await writer.publish("room/kitchen", "22", 1))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(aiter(reader)), 0.5)


async def test_test_config_says_all_that_is_wrong_and_what_is_in_order(tmp_path: Path) -> None:
    config, file = tmp_path / "broker.toml", tmp_path / "users"
    users(file, "ann")
    file.chmod(0o644)
    config.write_text(
        f'store = "/nowhere/b.db"\n[access]\npassword_file = "{file}"\n[[listener]]\nurl = "mqtts://127.0.0.1:0"\n'
    )
    words = ("broker", "--config", str(config), "--test-config")
    result = await mqttlite(*words)
    assert result.code == 1
    lines = result.stderr.splitlines()
    assert [re.sub("/tmp/[^ ]*/(users|broker.toml)", r"\1", line)[:50] for line in lines] == [
        "broker.toml: line 3: [access]: password_file: user",
        "broker.toml: line 1: store: there is no folder /no",
        "broker.toml: 2 mistakes; the broker would not star",
    ]
    file.chmod(0o600)
    config.write_text(f'[access]\npassword_file = "{file}"\n[[rule]]\nuser = "an"\nall = ["#"]\n[limits]\nfilters = 3')
    result = await mqttlite(*words)
    assert result.code == 0
    assert result.stderr == "doubtful: [[rule]]: there is no user 'an'; did you mean ann?\n"
    assert result.stdout == f"{config} is in order: 1 listener, no store, 1 user, 1 rule, 1 limit of its own\n"
    config.write_text('listen = ["mqtt://0.0.0.0:1"]\n[[queue]]\nclient = "a"\n[limits]\nfilter = 1\n')
    result = await mqttlite(*words)
    assert result.stderr.splitlines()[:2] == [
        f"{config}: line 3: [[queue]] number 1: there is no key 'client'; did you mean clients?",
        f"{config}: line 5: [limits]: there is no limit 'filter'; did you mean filters?",
    ]
    config.write_text('listen = ["mqtt://0.0.0.0:1"]\n')
    assert "can be reached from other machines" in (await mqttlite(*words)).stderr
    assert (await mqttlite("broker", "--test-config")).stdout.startswith("what the options say is in order: 1 listener")


@pytest.mark.parametrize(
    ("words", "is_let_in"),
    [((), None), (("--let-anybody-on-the-network-in",), True), (("--password-file", "users"), False)],
)
async def test_beyond_this_machine_it_starts_with_users_or_when_told_so_in_many_words(
    words: tuple[str, ...], is_let_in: bool | None, tmp_path: Path
) -> None:
    port = free_port()
    users(tmp_path / "users", "ann")
    words = tuple(str(tmp_path / word) if word == "users" else word for word in words)
    listen = ("--listen", f"mqtt://0.0.0.0:{port}")
    if is_let_in is None:
        result = await mqttlite("broker", *listen, *words)
        assert result.code == 1
        for way in (
            "--init FOLDER",
            "--password-file",
            "127.0.0.1 or a Unix socket",
            "--let-anybody-on-the-network-in",
        ):
            assert way in result.stderr
        return
    async with running("broker", *listen, *words) as process:
        found = Running(process, tmp_path)
        await found.says("listening on")
        if is_let_in:
            assert "everybody there may connect" in "".join(found.said)
        with contextlib.nullcontext() if is_let_in else pytest.raises(RefusedError):
            async with Client(f"mqtt://127.0.0.1:{port}"):
                pass


async def test_files_and_clients_of_mosquitto_find_here_what_they_had_there(tmp_path: Path) -> None:
    """Its password file and its ACL, mosquitto_pub and mosquitto_sub; and a password that mosquitto_passwd changes."""
    port, passwords, acl = free_port(), tmp_path / "passwd", tmp_path / "acl"
    tool, pub, sub = (program(f"mosquitto_{name}") for name in ("passwd", "pub", "sub"))
    await run(tool, "-c", "-b", str(passwords), "ann", "sesame")
    await run(tool, "-b", str(passwords), "bob", "pa ss")
    acl.write_text("user ann\ntopic readwrite room/#\nuser bob\ntopic read room/+/state\n")
    for path in (passwords, acl):
        path.chmod(0o600)
    text = f'listen = ["mqtt://127.0.0.1:{port}"]\n[access]\npassword_file = "{passwords}"\nacl_file = "{acl}"\n'
    ann = ("-p", str(port), "-i", "a", "-u", "ann", "-P")
    async with broker(tmp_path / "broker.toml", text) as told:
        subscriber = await asyncio.create_subprocess_exec(
            sub, "-p", str(port), "-u", "bob", "-P", "pa ss", "-t", "#", "-v", "-q", "1", stdout=asyncio.subprocess.PIPE
        )
        try:
            assert subscriber.stdout
            # At QoS 1 in order: what bob may not read would have come first.
            for topic in ("room/1/state", "room/1/secret", "hall/1/state"):
                await run(pub, *ann, "sesame", "-t", topic, "-m", "kept", "-q", "1", "-r")
            async with asyncio.timeout(RUN_TIMEOUT_S):
                assert await subscriber.stdout.readline() == b"room/1/state kept\n"
            assert (await run(pub, *ann, "wrong", "-t", "t", "-n", check=False)).code == 4
            assert (await run(pub, "-p", str(port), "-t", "t", "-n", check=False)).code == 5
            await run(tool, "-b", str(passwords), "ann", "open")
            assert "INFO audit: SIGHUP: user 'ann' has another password" in await told.reload()
            assert (await run(pub, *ann, "sesame", "-t", "t", "-n", check=False)).code == 4
            await run(pub, *ann, "open", "-t", "room/2/state", "-m", "after", "-q", "1")
            async with asyncio.timeout(RUN_TIMEOUT_S):
                assert await subscriber.stdout.readline() == b"room/2/state after\n"
        finally:
            subscriber.kill()
            await subscriber.wait()


async def test_a_file_that_is_cut_off_before_its_rules_lets_nobody_do_more(tmp_path: Path) -> None:
    users = tmp_path / "users"
    users.write_text(f"ann:{hashed(b'saffron')}\n")
    users.chmod(0o600)
    start = f'listen = ["mqtt://127.0.0.1:0"]\n[access]\npassword_file = "{users}"\n'
    async with broker(tmp_path / "b.toml", start + '[[rule]]\nuser = "ann"\nall = ["mine/#"]\n') as running:
        (line,) = await running.reload(start)
        assert "ERROR SIGHUP: nothing is changed" in line and "there is no rule any more" in line
        users.write_text(users.read_text()[:70])
        (line,) = await running.reload(start + '[[rule]]\nuser = "ann"\nall = ["mine/#"]\n')
        assert "ERROR SIGHUP: nothing is changed" in line and "is the line cut off?" in line
