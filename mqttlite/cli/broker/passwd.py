"""`mqttlite passwd`: the file of the broker's users and their passwords."""

import argparse
import getpass
import sys
from pathlib import Path

from ..arguments import Elsewhere
from ..streams import say

_DESCRIPTION = """\
The broker's users and their passwords: a file with a line for each (mqttlite broker --password-file FILE).

  mqttlite passwd users ann                     ask for ann's password; who is new is added, others get a new one
  mqttlite passwd -b users ann 'sesame street'  the password as a word, which other users of the machine can see
  mqttlite passwd users ann < password.txt      the password is the first line of standard input
  mqttlite passwd -D users ann                  ann is no user any more
  mqttlite passwd --check users ann             ask for a password and say whether it is ann's: exit code 0 or 1
  mqttlite passwd --check users                 read the whole file, as the broker does
  mqttlite passwd --list users                  the names

Passwords are kept as argon2id (needs mqttlite[broker]); a hash that Mosquitto has made ($7$, $6$) is taken as it is, so
its password file can be used and changed here. The file is written at once and whole, and nobody but its owner can read
it: a new one has mode 0600, an old one keeps mode and owner unless everybody could read it. A broker that runs reads
it at SIGHUP: connections of users that are gone, or have another password, are closed then."""

_WHEN = "a broker that runs knows it after mqttlite ctl reload (SIGHUP)"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's parser."""
    parser = subparsers.add_parser("passwd", help="the broker's users and passwords", description=_DESCRIPTION)
    parser.add_argument("file", metavar="FILE", help="the password file; made if it is not there")
    parser.add_argument("name", metavar="NAME", nargs="?", help="of the user")
    parser.add_argument("password", metavar="PASSWORD", nargs="?", help="with -b")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("-b", dest="batch", action="store_true", help="the password is the last word, nothing is asked")
    what.add_argument("-D", dest="delete", action="store_true", help="delete the user")
    what.add_argument("--check", action="store_true", help="check a password, or without NAME the file")
    what.add_argument("--list", action="store_true", help="show the users' names")
    parser.add_argument("-c", action=Elsewhere, nargs=0, const="FILE is made if it is not there")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do what is asked for; the exit code. ValueError says what is wrong."""
    from ...broker.access.users import check_name

    path = Path(args.file).resolve()  # a link stays one
    if args.batch != (args.password is not None):
        raise ValueError("write mqttlite passwd -b FILE NAME PASSWORD: the password as a word goes with -b")
    if args.list or (args.check and args.name is None):
        return _look(path, args)
    if not args.name:
        raise ValueError("NAME is missing: which user is it?")
    check_name(args.name)
    if args.check:
        return _check(path, args.name)
    if args.delete:
        _delete(path, args.name)
        return 0
    _set(path, args.name, _some(args.password.encode()) if args.batch else _asked(args.name, twice=True))
    return 0


def _look(path: Path, args: argparse.Namespace) -> int:
    from ...broker.access.users import read_users

    users = read_users(path)
    if args.list:
        for name in users:
            print(name)
    else:
        print(f"{args.file}: {_count(len(users))}, each with a hash that can be checked")
    return 0


def _check(path: Path, name: str) -> int:
    from ...broker.access.users import read_users

    users = read_users(path)
    if name not in users:
        raise ValueError(f"there is no user {name!r} in {path}")
    if users.check(name, _asked(name)):
        print(f"that is the password of {name}")
        return 0
    say(f"mqttlite passwd: that is not the password of {name}")
    return 1


def _set(path: Path, name: str, password: bytes) -> None:
    from ...broker.access.users_file import set_password

    is_new_file = not path.exists()
    is_new = set_password(path, name, password, say)
    done = f"{name} is added" if is_new else f"{name} has a new password"
    say(f"{path}{' is made' if is_new_file else ''}: {done}; {_WHEN}")


def _delete(path: Path, name: str) -> None:
    from ...broker.access.users_file import delete

    delete(path, name, say)
    say(f"{path}: {name} is deleted; {_WHEN}")


def _asked(name: str, twice: bool = False) -> bytes:
    """The password, from the terminal, or the first line of standard input. ValueError: none, or two different ones."""
    if not sys.stdin.isatty():
        password = sys.stdin.buffer.readline().rstrip(b"\r\n")
    else:
        password = getpass.getpass(f"Password of {name}: ").encode()
        if twice and getpass.getpass("The same again: ").encode() != password:
            raise ValueError("the two passwords are different; nothing is changed")
    return _some(password)


def _some(password: bytes) -> bytes:
    """ValueError: it is empty, as of a shell variable that is not set."""
    if not password:
        raise ValueError("the password is empty; nothing is changed")
    return password


def _count(number: int) -> str:
    return f"{number} user{'s' if number != 1 else ''}"
