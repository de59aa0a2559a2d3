"""Builds the Debian package: the wheel's files, the command, units, udev rules and settings, into dist/ (`make deb`).

    python -m tools.deb.build [--into FOLDER] [--version VERSION] [--wheel FILE]

Needs no root and nothing but dpkg-deb, which every Debian has; what goes in stands in gateway/debian, gateway/systemd
and gateway/udev. The same sources give the same bytes: all times are SOURCE_DATE_EPOCH, without it that of the last
commit.
One package for all architectures: the modules as source, which its postinst compiles for the Python that is there.
"""

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "gateway" / "debian"
MODULES = "usr/lib/python3/dist-packages"
UNITS = "usr/lib/systemd/system"
DOCS = "usr/share/doc/mqttlite"
SCRIPTS = ("postinst", "prerm", "postrm")
OPT = "/opt/mqttlite/bin/mqttlite"  # in the units, which a wheel installs, too
MODES = {"etc/mqttlite": 0o750, "etc/mqttlite/secrets": 0o750, "etc/mqttlite/gateway.toml": 0o640}
COMMAND = """\
#!/usr/bin/python3
import sys

from mqttlite.cli import main

sys.exit(main())
"""


def debian_version(text: str) -> str:
    """A version of Python's as one of Debian's: what comes before a release sorts before it."""
    return re.sub(r"(?<=\d)\.?(a|b|rc|dev)(?=\d)", r"~\1", text)


def build(into: Path, version: str = "", wheel: Path | None = None) -> Path:
    """Build it; its path. SystemExit says what is missing."""
    if not shutil.which("dpkg-deb"):
        raise SystemExit("tools.deb.build: there is no dpkg-deb: this needs Debian, or apt-get install dpkg")
    into.mkdir(parents=True, exist_ok=True)
    epoch = source_date()
    with tempfile.TemporaryDirectory() as name:
        stage, scratch = Path(name, "mqttlite"), Path(name, "wheel")
        stage.mkdir(mode=0o755)
        wheel = wheel or build_wheel(scratch, epoch)
        version = version or debian_version(wheel.name.split("-")[1])
        _take_wheel(stage, wheel)
        _take_files(stage)
        _take_docs(stage, version, epoch)
        _take_control(stage, version)
        _settle(stage, epoch)
        path = into / f"mqttlite_{version}_all.deb"
        command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(stage), str(path)]
        done = subprocess.run(command, env=_environment(epoch), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"tools.deb.build: {done.stderr.strip()}")
    return path


def source_date() -> int:
    """Of all files, seconds since 1970."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given.isdigit():
        return int(given)
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip() else 1_700_000_000


def _environment(epoch: int) -> dict[str, str]:
    return {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), "LC_ALL": "C"}


def build_wheel(folder: Path, epoch: int) -> Path:
    """The wheel, as `pip wheel .` makes it."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=_environment(epoch), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"tools.deb.build: the wheel cannot be built: {done.stderr.strip()}")
    [wheel] = folder.glob("*.whl")
    return wheel


def _take_wheel(stage: Path, wheel: Path) -> None:
    """Its packages, and of what it says of itself what does not change when they are Debian's."""
    with zipfile.ZipFile(wheel) as file:
        file.extractall(stage / MODULES)
    [info] = (stage / MODULES).glob("*.dist-info")
    shutil.rmtree(info / "licenses", ignore_errors=True)
    (info / "RECORD").unlink()
    (
        info / "entry_points.txt"
    ).unlink()  # the command is /usr/bin/mqttlite, and no pytest of Debian's needs our fixtures
    (info / "INSTALLER").write_text("dpkg\n")


def _take_files(stage: Path) -> None:
    """Command, units, udev rules, settings."""
    command = stage / "usr/bin/mqttlite"
    command.parent.mkdir(parents=True)
    command.write_text(COMMAND)
    (stage / UNITS).mkdir(parents=True)
    for unit in sorted((ROOT / "gateway" / "systemd").iterdir()):
        (stage / UNITS / unit.name).write_text(unit.read_text().replace(OPT, "/usr/bin/mqttlite"))
    rules = stage / "usr/lib/udev/rules.d"
    rules.mkdir(parents=True)
    shutil.copy(ROOT / "gateway/udev/99-mqttlite.rules", rules)
    (stage / "etc/mqttlite/secrets").mkdir(parents=True)
    shutil.copy(SOURCES / "gateway.toml", stage / "etc/mqttlite/gateway.toml")


def _take_docs(stage: Path, version: str, epoch: int) -> None:
    """What Debian wants to be there, the examples, and what the project says of itself."""
    docs = stage / DOCS
    docs.mkdir(parents=True)
    licence = (ROOT / "LICENSE").read_text().split("\n\n", 2)[2].strip()
    text = "\n".join(f" {line}" if line else " ." for line in licence.splitlines())
    overrides = stage / "usr/share/lintian/overrides/mqttlite"
    overrides.parent.mkdir(parents=True)
    shutil.copy(SOURCES / "lintian-overrides", overrides)
    (docs / "copyright").write_text((SOURCES / "copyright").read_text().replace("@LICENSE@", text))
    for name in ("gateway/gateway.example.toml", "examples/broker.toml", "README.md"):
        shutil.copy(ROOT / name, docs)
    for name in ("install", "pi", "operating", "backup", "configuration"):
        if (page := ROOT / "docs" / f"{name}.md").is_file():
            shutil.copy(page, docs)
    _packed(docs / "changelog.gz", _changelog(version, epoch))
    manual = stage / "usr/share/man/man1/mqttlite.1.gz"
    manual.parent.mkdir(parents=True)
    _packed(manual, _manual())


def _changelog(version: str, epoch: int) -> str:
    when = subprocess.run(["date", "-u", "-R", "-d", f"@{epoch}"], capture_output=True, text=True, check=True).stdout
    return (
        f"mqttlite ({version}) stable; urgency=medium\n\n  * See https://github.com/mqttlite/mqttlite/blob/main/CHANGELOG.md\n\n"
        f" -- mqttlite contributors <mqttlite@users.noreply.github.com>  {when}"
    )


def _manual() -> str:
    """`mqttlite --help` as a manual page."""
    done = subprocess.run(
        [sys.executable, "-m", "mqttlite", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "76"},
    )
    escaped = done.stdout.replace("\\", "\\\\").replace("-", "\\-")
    lines = [f"\\&{line}" if line[:1] in (".", "'") else line for line in escaped.splitlines()]
    head = ".TH MQTTLITE 1\n.SH NAME\nmqttlite \\- MQTT gateway, broker and client\n.SH DESCRIPTION\n"
    more = "Each command has more: \\fBmqttlite \\fICOMMAND\\fB \\-\\-help\\fR.\n"
    return f"{head}{more}.nf\n" + "\n".join(lines) + "\n.fi\n"


def _packed(path: Path, text: str) -> None:
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _take_control(stage: Path, version: str) -> None:
    control = stage / "DEBIAN"
    size = sum(path.stat().st_size + 1023 >> 10 for path in _files(stage))
    sums = "".join(
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(stage)}\n"
        for path in _files(stage)
        if path.relative_to(stage).parts[0] != "etc"
    )
    control.mkdir()
    text = (SOURCES / "control").read_text().replace("@VERSION@", version).replace("@SIZE@", str(size))
    (control / "control").write_text(text)
    (control / "md5sums").write_text(sums)
    for name in ("conffiles", "templates", *SCRIPTS):
        shutil.copy(SOURCES / name, control)


def _files(stage: Path) -> Iterator[Path]:
    return (path for path in sorted(stage.rglob("*")) if path.is_file())


def _settle(stage: Path, epoch: int) -> None:
    """Modes and times."""
    executable = {stage / "usr/bin/mqttlite", *(stage / "DEBIAN" / name for name in SCRIPTS)}
    for path in sorted(stage.rglob("*"), reverse=True):
        default = 0o755 if path.is_dir() or path in executable else 0o644
        path.chmod(MODES.get(path.relative_to(stage).as_posix(), default))
        os.utime(path, (epoch, epoch))
    stage.chmod(0o755)
    os.utime(stage, (epoch, epoch))


def main() -> int:
    """Command line; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.deb.build", description="Builds the Debian package.")
    parser.add_argument("--into", type=Path, default=ROOT / "dist", metavar="FOLDER", help="where it goes (dist)")
    parser.add_argument("--version", default="", help="instead of the wheel's")
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="a wheel that is there, instead of a new one")
    args = parser.parse_args()
    path = build(args.into, args.version, args.wheel)
    print(f"{path}: {path.stat().st_size:,} bytes, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
