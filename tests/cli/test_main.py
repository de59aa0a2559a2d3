"""The command `mqttlite` itself: what it imports, how it reports mistakes."""

import pytest

import mqttlite
from mqttlite.cli import COMMANDS, main
from mqttlite.cli.variant import BUILD
from tests.cli.commands import mqttlite as command
from tests.peers import free_port


async def test_the_version_is_printed_with_the_build() -> None:
    result = await command("--version")
    assert (result.code, result.stdout) == (0, f"mqttlite {mqttlite.__version__} ({BUILD})\n")


async def test_help_lists_the_commands_and_the_exit_codes() -> None:
    result = await command("--help")
    assert result.code == 0
    assert all(word in result.stdout for word in ("pub ", "sub ", "27 timed out"))


async def test_without_a_command_help_is_shown_and_all_is_well() -> None:
    bare = await command()
    assert bare == await command("--help")
    assert (bare.code, bare.stderr) == (0, "")
    assert all(f"\n    {name}" in bare.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--debug", "required: COMMAND"),
        ("publish", "invalid choice: 'publish'"),
        ("pub -t a", "one of the arguments -m/--message"),
        ("pub -m a", "give one topic: -t TOPIC"),
        ("pub -m a -t a -t b", "pub takes one topic"),
        ("pub -m a -n -t a", "not allowed with"),
        ("pub -m a -t a/#", "wildcard in topic name [MQTT-3.3.2-2]"),
        ("pub -m a -t a -V 6", "'6' is not supported; this command speaks MQTT 5.0, 3.1.1 and 3.1"),
        ("pub -m a -t a -q 3", "invalid choice: 3"),
        ("pub -m a -t a -p 70000", "--port 70000 is not between"),
        ("pub -m a -t a -p x", "argument -p/--port: 'x' is not a whole number; see"),
        ("sub -t a -C x", "argument -C: 'x' is not a whole number; see"),
        ("sub -t a -W 1,5", "argument -W: '1,5' is not a number; see"),
        ("pub -m a -t a -k 70000", "keep_alive_s must be 0 to 65535, not 70000"),
        ("pub -m a -t a -P secret", "a password needs a user name"),
        ("pub -m a -t a --will-retain", "options for a will need --will-topic"),
        ("pub -m a -t a --will-topic w/+", "wildcard in topic name"),
        ("pub -m a -t a --repeat 0", "--repeat takes a count of at least 1"),
        ("pub -l -t a --repeat 2", "does not go with -l"),
        ("pub -m a -t a --repeat-delay 1", "needs --repeat"),
        ("pub -f /no/such/file -t a", "mqttlite pub: there is no folder /no/such, and so no file /no/such/file"),
        ("pub -f /tmp/nope.bin -t a", "mqttlite pub: there is no file nope.bin in /tmp"),
        ("pub -f /etc/passwd/x -t a", "in the path /etc/passwd/x something is a file that should be a folder"),
        ("board list nope", "mqttlite board list: there is no board 'nope'"),
        ("update status", "mqttlite update status: no device: name some"),
        ("store salvage /tmp/nope.db", "mqttlite store salvage: "),
        ("pub -m a -t a -c", "-c keeps a session"),
        ("pub -m a -t a --store a.db", "--store keeps a session"),
        ("pub -m a -t a --unix /a -h h", "either --unix or --host"),
        ("pub -m a -t a -i a -I b", "not allowed with"),
        ("pub -m a -t a -M 0", "-M 0 is not between"),
        ("pub -m a -t a --rate 5", "needs -l or --repeat"),
        ("pub -m a -t a -W 0", "-W takes a number of seconds above 0"),
        ("pub -m a -t a -d --quiet", "not allowed with"),
        ("sub -U a/#/b", "[MQTT-4.7.1-2]"),
        ("pub -m a -t a -L ftp://h", "'ftp' is not a known scheme"),
        ("pub -m a -t a -L localhost", "not a URL: 'localhost'"),
        ("pub -m a -t a -L mqtt://h -h h", "either --url or --host"),
        ("pub -m a -t a -L mqtt://h:x", "the port behind 'h' is not a number"),
        ("sub", "give a topic filter: -t FILTER"),
        ("sub -t a/#/b", "[MQTT-4.7.1-2]"),
        ("sub -t a -T a+", "[MQTT-4.7.1-3]"),
        ("sub -t $share/x", "a shared subscription is $share/NAME/FILTER: FILTER is missing [MQTT-4.8.2-2]"),
        ("sub -t a -t $share//a", "a shared subscription is $share/NAME/FILTER: NAME is missing [MQTT-4.8.2-1]"),
        ("sub -t a -C 0", "-C takes a count of at least 1"),
        ("sub -t a -W 0", "-W takes a number of seconds above 0"),
        ("sub -t a -R --retained-only", "not allowed with"),
        ("sub -t a -F %y", "unknown format '%y'"),
        ("sub -t a -F x\\q", "unknown escape '\\q'"),
        ("sub -t a -F 100%", "ends in the middle"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_code_1(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.err.startswith("mqttlite")


async def test_a_port_on_which_nothing_listens_is_named() -> None:
    port = free_port()
    for result in (
        await command("pub", "-h", "127.0.0.1", "-p", str(port), "-t", "a", "-m", "b"),
        await command("sub", "-h", "127.0.0.1", "-p", str(port), "-t", "a"),
    ):
        assert result.code == 1
        assert result.stderr.endswith(
            f": nothing listens at 127.0.0.1:{port}; is the broker running, and is this its port?\n"
        )
        assert result.stderr.count("\n") == 1


async def test_an_unknown_host_is_named() -> None:
    result = await command("pub", "-h", "host.invalid", "-t", "a", "-m", "b")
    assert result.code == 1
    assert result.stderr.startswith("mqttlite pub: cannot find the host 'host.invalid'")


async def test_a_socket_that_is_not_there_is_named() -> None:
    result = await command("pub", "-L", "unix:///no/such.sock", "-t", "a", "-m", "b")
    assert (result.code, result.stderr) == (
        1,
        "mqttlite pub: there is no /no/such.sock; is the broker running?\n",
    )
