"""The command `mqttlite` that a service is to run, and how one comes to be where a service can look."""

import json
import shlex
import sys
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from . import shipped

HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # the service sees nothing of these
WHOLE_MACHINE = "/usr/local/bin/mqttlite"  # where it is, once it is installed as `advice` says


class UnreachableError(ValueError):
    """A service could not run the program; the text says what to do."""


def program() -> str:
    """The one that runs now. UnreachableError."""
    path = Path(sys.prefix, "bin", "mqttlite")
    if not path.is_file():
        path = Path(sys.argv[0]).absolute()
    for each in (path, path.resolve(), Path(sys.executable).resolve()):
        if any(each.is_relative_to(folder) for folder in HIDDEN):
            raise UnreachableError(f"{each} is in a folder that a service cannot look into: {advice()}")
    return str(path)


def advice() -> str:
    """How to install it for the whole machine, from where this one came."""
    found = source()
    what = shlex.quote(f"{found or '.'}[gateway]")
    where = "" if found else ", in a clone of mqttlite (or with a wheel's file name instead of the dot)"
    return (
        "install mqttlite for the whole machine with `sudo PIPX_HOME=/opt/pipx PIPX_BIN_DIR=/usr/local/bin pipx "
        f"install {what}`, or without pipx into /opt/mqttlite with `sudo python3 -m venv /opt/mqttlite` and "
        f"`sudo /opt/mqttlite/bin/pip install {what}`{where}; then run its `mqttlite gateway --install`"
    )


def source() -> str:
    """The clone or the wheel that this mqttlite was installed from, while it is there; "": there is none."""
    found = []
    try:
        said = metadata.distribution("mqttlite").read_text("direct_url.json")  # as pip writes it (PEP 610)
        url = urlsplit(str(json.loads(said or "{}").get("url", "")))
        if url.scheme == "file":
            found.append(Path(unquote(url.path)))
    except (metadata.PackageNotFoundError, ValueError, AttributeError):
        pass
    for each in (*found, shipped.CLONE.parent):
        if (each / "pyproject.toml").is_file() or (each.suffix == ".whl" and each.is_file()):
            return str(each)
    return ""
