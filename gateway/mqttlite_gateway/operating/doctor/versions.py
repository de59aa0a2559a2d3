"""What is installed, and which build of it runs."""

import importlib.util
import platform
import sys
from collections.abc import Iterator

from mqttlite import __version__

from .finding import DOUBTFUL, OK, WRONG, Case, Finding

STEP = "version"
PARTS = {  # package of the index, and of Debian
    "serial": ("pyserial", "python3-serial"),
    "pyudev": ("pyudev", "python3-pyudev"),
    "aiohttp": ("aiohttp", "python3-aiohttp"),
    "argon2": ("argon2-cffi", "python3-argon2"),
    "zeroconf": ("zeroconf", "python3-zeroconf"),
}
USES = {"serial": "serial ports", "pyudev": "ports that come and go", "aiohttp": "the page", "argon2": "users"}
NEEDED = ("serial",)


def look(case: Case) -> Iterator[Finding]:
    """Version, build, parts that are not installed."""
    build = "compiled by mypyc" if _is_compiled() else "pure Python"
    python = platform.python_version()
    values = {"version": __version__, "python": python, "compiled": _is_compiled(), "machine": platform.machine()}
    text = f"mqttlite {__version__} ({build}), Python {python}, {platform.machine()}, at {sys.prefix}"
    yield Finding(STEP, OK, text, values=values)
    missing = [name for name in PARTS if importlib.util.find_spec(name) is None]
    for name in missing:
        package, debian = PARTS[name]
        state = WRONG if name in NEEDED else DOUBTFUL
        todo = f"sudo apt install {debian}" if sys.prefix == "/usr" else f"pipx inject mqttlite {package}"
        yield Finding(STEP, state, f"{package} is not installed: without it no {USES.get(name, 'mDNS')}", todo)


def _is_compiled() -> bool:
    from importlib.machinery import EXTENSION_SUFFIXES

    from mqttlite.core import packet_types

    return str(packet_types.__file__).endswith(tuple(EXTENSION_SUFFIXES))
