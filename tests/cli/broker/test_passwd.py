"""`mqttlite passwd`, beside mosquitto_passwd."""

import asyncio
import os
import pty
import stat
import sys
from pathlib import Path

import pytest

from mqttlite.broker.access.passwords import hashed
from mqttlite.broker.access.users import Users, read_users
from tests.cli.commands import MQTTLITE, inside, mqttlite
from tests.peers import Mosquitto, program, run


async def test_a_user_is_added_gets_another_password_and_is_deleted(tmp_path: Path) -> None:
    file = tmp_path / "users"
    result = await inside("passwd", str(file), "ann", stdin=b"sesame\n", check=True)
    assert f"{file} is made: ann is added" in result.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "sesame" not in file.read_text()
    await inside("passwd", "-b", str(file), "bob", "p:a ss", check=True)
    users = read_users(file)
    assert [users.check("ann", b"sesame"), users.check("ann", b"sesam"), users.check("bob", b"p:a ss")] == [1, 0, 1]
    assert "new password" in (await inside("passwd", str(file), "ann", stdin=b"other\n", check=True)).stderr
    assert read_users(file).check("ann", b"other")
    assert (await inside("passwd", "--list", str(file), check=True)).stdout == "ann\nbob\n"
    await inside("passwd", "-D", str(file), "ann", check=True)
    assert list(read_users(file)) == ["bob"]


async def test_a_password_can_be_checked(tmp_path: Path) -> None:
    file = str(tmp_path / "users")
    await inside("passwd", file, "ann", stdin=b"sesame\n", check=True)
    assert (await inside("passwd", "--check", file, "ann", stdin=b"sesame\n")).code == 0
    wrong = await inside("passwd", "--check", file, "ann", stdin=b"x\n")
    assert (wrong.code, wrong.stderr) == (1, "mqttlite passwd: that is not the password of ann\n")
    assert "1 user, each with a hash" in (await inside("passwd", "--check", file)).stdout
    unknown = await inside("passwd", "--check", file, "bob", stdin=b"x\n")
    assert (unknown.code, "there is no user 'bob'" in unknown.stderr) == (1, True)


def test_on_a_terminal_it_asks_twice_and_shows_nothing(tmp_path: Path) -> None:
    file = tmp_path / "users"

    def asked(*answers: bytes) -> tuple[int, bytes]:
        pid, terminal = pty.fork()
        if not pid:
            os.execv(sys.executable, [*MQTTLITE, "passwd", str(file), "ann"])
        said = b""
        for answer in answers:
            while not said.endswith(b": "):
                said += os.read(terminal, 1000)
            os.write(terminal, answer + b"\n")
            said += b"|"
        try:
            while more := os.read(terminal, 1000):
                said += more
        except OSError:  # the other end is closed
            pass
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said

    code, said = asked(b"sesame", b"sesam")
    assert code == 1 and b"different; nothing is changed" in said and not file.exists()
    code, said = asked(b"sesame", b"sesame")
    assert code == 0 and b"Password of ann: |" in said and b"sesame" not in said
    assert read_users(file).check("ann", b"sesame")


async def test_the_file_of_mosquitto_is_read_changed_here_and_read_by_mosquitto(tmp_path: Path) -> None:
    file = tmp_path / "passwd"
    file.touch(0o600)
    tool = program("mosquitto_passwd")
    await run(tool, "-b", str(file), "ann", "sesame")
    await run(tool, "-b", str(file), "bob", "pa ss")
    assert file.read_text().count(":$7$") == 2
    users = read_users(file)
    assert [users.quick("ann", b"sesame"), users.quick("bob", b"pa ss"), users.quick("bob", b"sesame")] == [1, 1, 0]
    await inside("passwd", "-D", str(file), "ann", check=True)
    with Mosquitto(tmp_path, settings={"password_file": file, "allow_anonymous": "false"}) as broker:
        result = await run(
            program("mosquitto_pub"), "-p", str(broker.port), "-t", "t", "-n", "-u", "bob", "-P", "pa ss"
        )
        assert result.code == 0


# Salt, and SHA-512 of "old password" and the salt, as mosquitto_passwd had it before 1.6.
OLD = "eve:$6$c2FsdHNhbHRzYWx0$iauXlZ5tZcz7H0MihR2g7XB9zouTedAlF+DpKUjHuesLWGHvNpx4aqjY2MDg0SHjxEgeCMCLflkKCS+8jHCnwA=="


async def test_a_hash_of_before_1_6_is_read_as_mosquitto_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "passwd"
    file.write_text(f"{OLD}\n")
    file.chmod(0o600)
    for password, is_right in (("old password", True), ("old passwor", False)):
        assert read_users(file).quick("eve", password.encode()) is is_right
        with Mosquitto(tmp_path, settings={"password_file": file, "allow_anonymous": "false"}) as broker:
            words = ("-p", str(broker.port), "-t", "t", "-n", "-u", "eve", "-P", password)
            assert (await run(program("mosquitto_pub"), *words, check=False)).code == (0 if is_right else 5)


async def test_what_is_no_secret_is_refused_and_becomes_one(tmp_path: Path) -> None:
    file = tmp_path / "users"
    await inside("passwd", "-b", str(file), "ann", "x", check=True)
    file.chmod(0o644)
    with pytest.raises(ValueError, match=r"every user of this machine can read it \(mode 0644\): chmod o-rwx "):
        read_users(file)
    assert (await inside("passwd", "--list", str(file))).code == 1
    said = (await inside("passwd", "-b", str(file), "bob", "x", check=True)).stderr
    assert "could be read by everybody" in said
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)  # the group of the broker
    await inside("passwd", "-b", str(file), "bob", "y", check=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(read_users(file)) == ["ann", "bob"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("ann", "line 1: a line is NAME:HASH"),
        ("# users\n\nann:sesame", "line 3: what stands behind the colon is no hash that is known"),
        (":$7$1$AAAA$AAAA", "line 1: a user's name is empty"),
        ("ann:$7$101$AAAA$AAAA", "line 1: salt or hash has 3 bytes: is the line cut off?"),
        ("ann:$7$0$AAAA$AAAA", "the hash asks for 0 iterations"),
        ("ann:$7$101$AAAA", "does not go on with iterations, salt and hash"),
        ("ann:$6$AA*A$AAAA", "is not base64"),
        ("ann:$argon2id$v=19$m=19456,t=2", "is the line cut off?"),
        ("ann:$argon2i$v=19$m=19456,t=2,p=1$AAAA$AAAA", "argon2i is not taken, argon2id is"),
        ("ann:$argon2id$v=19$m=99999999,t=2,p=1$AAAA$AAAA", "at most 1 GiB"),
        ("ann:$7$", "is it cut off?"),
    ],
)
async def test_a_broken_file_is_refused_with_its_line_and_is_not_written(text: str, error: str, tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(ValueError, match="users: line") as raised:
        read_users(file)
    assert error in str(raised.value)
    assert "sesame" not in str(raised.value)
    if text == "ann":
        assert (await inside("passwd", "-b", str(file), "bob", "x")).code == 1
        assert file.read_text() == text


async def test_a_remark_stays_one_line_whatever_stands_in_it(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("# kitchen\x0cand\u2028cellar\r\n\n", newline="", encoding="utf-8")
    file.chmod(0o600)
    await inside("passwd", "-b", str(file), "ann", "x", check=True)
    assert file.read_text(encoding="utf-8").startswith("# kitchen\x0cand\u2028cellar\n\nann:$argon2id$")
    assert list(read_users(file)) == ["ann"]


async def test_a_name_that_would_be_a_remark_is_refused(tmp_path: Path) -> None:
    told = await inside("passwd", "-b", str(tmp_path / "users"), "#ann", "x")
    assert told.code == 1 and "does not begin with #" in told.stderr
    assert not (tmp_path / "users").exists()


async def test_two_at_once_lose_nobody(tmp_path: Path) -> None:
    file = tmp_path / "users"
    names = [f"u{number}" for number in range(3)]
    await asyncio.gather(*(mqttlite("passwd", "-b", str(file), name, "x", check=True) for name in names))
    assert sorted(read_users(file)) == names


def test_who_has_shown_a_password_is_let_in_at_once_until_it_is_another_one() -> None:
    kept = {"ann": hashed(b"a"), "bob": hashed(b"b")}
    users = Users(kept, {"family": frozenset({"ann", "bob"}), "cooks": frozenset({"ann"})})
    assert users.groups_of("ann") == {"family", "cooks"} and users.groups_of("eve") == frozenset()
    assert users.quick("ann", b"a") is None and users.quick("eve", b"a") is None
    assert users.check("ann", b"a") and not users.check("ann", b"b") and not users.check("eve", b"a")
    assert users.check("bob", b"b")
    assert users.quick("ann", b"a") is True
    assert users.quick("ann", b"b") is None
    after = Users(kept | {"bob": hashed(b"b")})
    after.remember(users)
    assert after.quick("ann", b"a") is True
    assert after.quick("bob", b"b") is None
    assert after.same_password("ann", users) and not after.same_password("bob", users)


async def test_an_empty_password_is_none_also_as_a_word(tmp_path: Path) -> None:
    file = tmp_path / "users"
    for words, given in ((("-b", str(file), "ann", ""), b""), ((str(file), "ann"), b"\n")):
        result = await inside("passwd", *words, stdin=given)
        assert (result.code, "the password is empty; nothing is changed" in result.stderr) == (1, True)
    assert not file.exists()


async def test_a_folder_that_is_missing_and_an_option_of_mosquitto_passwd_are_called_so(tmp_path: Path) -> None:
    missing = await inside("passwd", str(tmp_path / "no" / "users"), "ann", stdin=b"x\n")
    assert f"there is no folder {tmp_path / 'no'}, and so no file" in missing.stderr
    habit = await inside("passwd", "-c", str(tmp_path / "users"), "ann", stdin=b"x\n")
    assert (habit.code, "no -c here: FILE is made if it is not there" in habit.stderr) == (1, True)
