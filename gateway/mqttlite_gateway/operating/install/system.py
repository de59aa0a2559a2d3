"""The machine that the gateway is installed on: its files, users and programs."""

import grp
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path


class System:
    """`root`: where an image of it is mounted. Names of files are those of the machine, as `/etc/mqttlite`."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    @property
    def is_this_one(self) -> bool:
        """Whether it is the one that runs this program."""
        return self.root == Path("/")

    def path(self, name: str) -> Path:
        """Where a file of it is."""
        return self.root / name.lstrip("/")

    def has_systemd(self) -> bool:
        """Whether systemd runs there, and can be told something."""
        return self.is_this_one and Path("/run/systemd/system").is_dir()

    def has_udev(self) -> bool:
        """The same of udev."""
        return self.is_this_one and Path("/run/udev/control").exists()

    def group_id(self, name: str) -> int | None:
        """None: there is no such group."""
        if self.is_this_one:
            try:
                return grp.getgrnam(name).gr_gid
            except KeyError:
                return None
        return self._id("etc/group", name)

    def user_id(self, name: str) -> int | None:
        """None: there is no such user."""
        if self.is_this_one:
            try:
                return pwd.getpwnam(name).pw_uid
            except KeyError:
                return None
        return self._id("etc/passwd", name)

    def has_user(self, name: str) -> bool:
        """Whether there is one of this name."""
        return self.user_id(name) is not None

    def _id(self, file: str, name: str) -> int | None:
        try:
            lines = (self.root / file).read_text(encoding="utf-8").splitlines()
        except OSError:
            return None
        return next((int(line.split(":")[2]) for line in lines if line.split(":")[0] == name), None)

    def run(self, *command: str) -> str:
        """Run a program of this machine; what it prints. ValueError: there is none, or it has failed."""
        found = shutil.which(command[0], path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if found is None:
            raise ValueError(f"there is no program {command[0]} on this machine")
        done = subprocess.run([found, *command[1:]], capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise ValueError(f"{' '.join(command)} has failed: {said[-1] if said else f'code {done.returncode}'}")
        return done.stdout

    def asks(self, *command: str) -> bool:
        """Whether a program ends with code 0."""
        try:
            self.run(*command)
        except ValueError:
            return False
        return True

    def add_user(self, name: str, home: str) -> None:
        """A user and group of the system's, who cannot log in. ValueError."""
        where: Sequence[str] = () if self.is_this_one else ("--root", str(self.root))
        # A group that is there, made for a broker by hand, is no trouble
        group = ("--user-group",) if self.group_id(name) is None else ("--gid", name)
        words = ("--system", *group, "--home-dir", home, "--no-create-home", "--shell", "/usr/sbin/nologin")
        self.run("useradd", *where, *words, name)
