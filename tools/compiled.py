"""The compiled build: the same source, its modules of each message through mypyc, as a wheel for this Python.

    python -m tools.compiled                the wheel in dist/, and a copy of the project with it in build/compiled/
    python -m tools.compiled -m pytest …    the same, then Python in that copy: all that is started there is compiled
    MQTTLITE_COMPILED=1 pip wheel .         the wheel alone, as any build front end makes it

The hook of hatch's build (tools/wheel_hook.py) calls it when it is asked to. What is compiled:

- the files of each folder in ROOMS (not of those below it), but for its `__init__` and the modules in INTERPRETED, each
  with its reason. A module that is compiled stays in the wheel as source, for tracebacks and type checkers; Python
  prefers the compiled one beside it.
- not the files as they are, but with `NAME = const(…)` as `NAME: Final = …`, line for line the same: mypyc then puts
  the number where the name stands, in other modules, too.

In compiled code a call of a compiled function is one of C. So replacing a function or a method there (as tests of
planted bugs do) has no effect, a class can be derived from only by compiled ones, and an argument of another type than
its annotation says is a TypeError.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
STAGE = "build/compiled-stage"  # below the project: what is compiled, and the C that comes of it
COPY = "build/compiled"
GROUP = "mqttlite"  # all is one program of C: mqttlite__mypyc.*.so, beside a small module for each of Python's
OPTIMISATION = "3"

# What each message passes. Not in it: access/ (a right is asked for once, and kept with connections and routes), gates/
# (connections, and rates where somebody has set one), queues/ (named ones alone), config/ and operating/.
ROOMS = (
    "core",
    "broker",
    "broker/bounds",
    "broker/clients",
    "broker/connections",
    "broker/counting",
    "broker/listening",
    "broker/messages",
    "broker/packets",
    "broker/routing",
    "broker/sessions",
    "broker/topics",
)
INTERPRETED = {
    "core/broken_rules.py": "words alone",
    "core/errors.py": "classes that applications derive from; loads others when they are asked for (__getattr__)",
    "core/events.py": "interfaces for the type checker",
    "core/oserror.py": "for boards",
    "core/rare_errors.py": "as errors",
    "core/reasons.py": "words alone",
    "core/records.py": "an interface for the type checker stands in it",
    "core/refusals.py": "words alone",
    "core/streamed.py": "derives from bytes",
    "core/message_properties.py": "interfaces for the type checker stand in it",
    "broker/audit.py": "words alone",
    "broker/bounds/addresses.py": "once for each connection",
    "broker/bounds/progress.py": "a protocol stands in it",
    "broker/bounds/properties.py": "for packets with many properties alone",
    "broker/bounds/rates.py": "once for each connection, or when somebody has set a rate",
    "broker/bounds/wildcards.py": "once for each subscription",
    "broker/clients/broker_store.py": "derives from the store's writer, which is interpreted",
    "broker/connections/broker_loop.py": "a class derived from asyncio's",
    "broker/connections/asking.py": "awaits, once for each CONNECT",
    "broker/connections/doors.py": "once for each listener; the simulator gives it other sockets",
    "broker/connections/protocol.py": "a class derived from asyncio's",
    "broker/limits.py": "a dataclass whose fields have help texts",
    "broker/listening/handshakes.py": "words alone",
    "broker/listening/listen.py": "the simulator gives it other sockets",
    "broker/listening/listener.py": "dataclasses, once for each listener",
    "broker/listening/origins.py": "once for each WebSocket; its package may be missing",
    "broker/named_rules.py": "a dataclass, once for each of its tables",
    "broker/packets/reason_strings.py": "words alone",
    "broker/routing/means.py": "for named queues, which are interpreted",
    "broker/routing/repeats.py": "for messages with a key alone",
    "broker/routing/taker.py": "named queues derive from it, and are interpreted",
    "broker/server.py": "the public face",
    "broker/topics/names.py": "once for each subscription, and a class of errors",
}

REPLACED = ("SPAN",)  # constants that are not final: the simulator has worlds with few packet identifiers
DERIVED = ("Connection",)  # bases from which interpreted classes may derive: those of tests

NARROWED = ("wire",)  # attributes of Connection whose type its two ends narrow: mypyc knows one type or none

_CONST = re.compile(r"^(_?[A-Z][A-Z0-9_]*) = const\((.+?)\)(?=\s*(?:#.*)?$)", re.MULTILINE)
_DERIVED = re.compile(rf'\n\n\n(class (?:{"|".join(DERIVED)}):\n    """Base )')
_NARROWED = re.compile(rf'^(    (?:{"|".join(NARROWED)}): )"\w+"$', re.MULTILINE)
_ATTRIBUTE = """\
if TYPE_CHECKING: from mypy_extensions import mypyc_attr
@mypyc_attr(allow_interpreted_subclasses=True)"""
_SETUP = """\
from mypyc.build import mypycify
from setuptools import setup

modules = mypycify([*{flags!r}, *{paths!r}], opt_level={optimisation!r}, debug_level="0", group_name={group!r})
setup(name={group!r}, packages=[], ext_modules=modules)
"""


def compiled_paths(root: Path) -> list[str]:
    """What is compiled, from `root` on."""
    package = root / "mqttlite"
    found = {path.relative_to(package).as_posix() for room in ROOMS for path in (package / room).glob("[!_]*.py")}
    if unknown := INTERPRETED.keys() - found:
        raise SystemExit(f"tools/compiled.py: INTERPRETED names what is not there: {', '.join(sorted(unknown))}")
    return [f"mqttlite/{path}" for path in sorted(found - INTERPRETED.keys())]


def prepared(source: str) -> str:
    """A module as mypyc gets it: constants are final, and some classes may be derived from. Its lines keep their
    numbers: what is added stands in lines that are empty.
    """

    def final(match: re.Match[str]) -> str:
        name, value = match.groups()
        return match[0] if name in ("TYPE_CHECKING", *REPLACED) else f"{name}: _Final = {value}"

    text = _CONST.sub(final, source)
    text = _NARROWED.sub(r'\1"_Any"', text)
    text = _DERIVED.sub(rf"\n{_ATTRIBUTE}\n\1", text)
    if text == source:
        return source
    docstring, mark, rest = text.partition('"""\n\n')
    assert mark
    return f"{docstring}{mark[:-1]}from typing import Any as _Any, Final as _Final\n{rest}"


def compile_modules(root: Path, stage: Path) -> list[Path]:
    """Compile in the folder `stage`; what the wheel has in addition, from `stage` on."""
    shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(root / "mqttlite", stage / "mqttlite", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    paths = compiled_paths(root)
    for path in paths:
        file = stage / path
        file.write_text(prepared(file.read_text(encoding="utf-8")), encoding="utf-8")
    flags = ["--config-file=", "--ignore-missing-imports", "--explicit-package-bases"]
    (stage / "setup.py").write_text(
        _SETUP.format(flags=flags, paths=paths, optimisation=OPTIMISATION, group=GROUP), encoding="utf-8"
    )
    environment = {"LDFLAGS": "-Wl,-s", **os.environ, "PYTHONPATH": ""}
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=stage, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}\nmypyc or the C compiler failed: {stage} has what it was given")
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    return [Path(f"{GROUP}__mypyc{suffix}"), *(Path(path).with_suffix(suffix) for path in paths)]


def add_to_wheel(root: Path, build_data: dict[str, Any]) -> None:
    """Put the compiled modules into the wheel that hatch builds."""
    stage = root / STAGE
    for path in compile_modules(root, stage):
        build_data["force_include"][str(stage / path)] = str(path)
    build_data["pure_python"] = False
    build_data["infer_tag"] = True


# -- the command


def stamp(root: Path) -> str:
    """Changes with whatever the compiled modules are made from."""
    from mypy.version import __version__ as mypy_version

    digest = hashlib.sha256(f"{sys.version} {mypy_version}".encode())
    for path in (Path(__file__), *sorted((root / "mqttlite").rglob("*.py"))):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def build_wheel(root: Path) -> None:
    """Into dist/, and what was compiled stays in STAGE; nothing where that is of the same source."""
    known = root / STAGE / "stamp"
    now = stamp(root)
    if known.exists() and known.read_text(encoding="utf-8") == now:
        return
    print(f"compiling {len(compiled_paths(root))} modules (a minute)", flush=True)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    subprocess.run(command, cwd=root, env={**os.environ, "MQTTLITE_COMPILED": "1"}, check=True)
    known.write_text(now, encoding="utf-8")


def copy_project(root: Path) -> Path:
    """The project as it is now, with the compiled modules, in COPY; what make has set up is linked."""
    copy = root / COPY
    shutil.rmtree(copy, ignore_errors=True)
    names = ("build", "dist", "__pycache__", ".*", "node_modules")
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns(*names), symlinks=True)
    stage = root / STAGE
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for path in (stage / f"{GROUP}__mypyc{suffix}", *(stage / "mqttlite").rglob(f"*{suffix}")):
        shutil.copy2(path, copy / path.relative_to(stage))
    (copy / "build").mkdir()
    for path in (root / "build").iterdir():
        if path.name not in (Path(COPY).name, Path(STAGE).name):
            (copy / "build" / path.name).symlink_to(path)
    return copy


def main() -> int:
    """Command line; the exit code."""
    words = sys.argv[1:]
    if words[:1] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0
    build_wheel(ROOT)
    copy = copy_project(ROOT)
    if not words:
        [wheel] = (ROOT / "dist").glob(f"mqttlite-*-cp{sys.version_info[0]}{sys.version_info[1]}-*.whl")
        print(f"{wheel.relative_to(ROOT)} ({wheel.stat().st_size // 1000} kB); {copy.relative_to(ROOT)}/ runs on it")
        return 0
    path = os.pathsep.join([str(copy), str(copy / "gateway")])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, *words], cwd=copy, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
