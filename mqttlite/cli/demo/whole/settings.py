"""What the programs of the demo are told."""

import importlib.util
import os
import shutil
import socket
from pathlib import Path

UPSTREAM = "cloud"
PREFIX = "site-7/"  # of the site's topics at the second broker
COUNTS = f"{PREFIX}sensors/+/count"
ANSWERS = f"{PREFIX}sensors/+/answer"
STORE = "gateway.db"
LEDGER = "gateway.ledger.db"
CLOUD_LEDGER = "cloud.ledger.db"

_GATEWAY = """\
mode = "bridge"
store = "{folder}/gateway.db"
listen = ["mqtt://127.0.0.1:0"]
console = ""

[ledger]
path = "{folder}/gateway.ledger.db"
node = "gateway"

[control]
socket = false
{page}
[[upstream]]
name = "cloud"
url = "{cloud}"
out = [{{ filter = "sensors/#", to = "site-7/", qos = 2 }}]
in = [{{ filter = "site-7/sensors/+/command", strip = "site-7/", qos = 2 }}]
start_jitter_s = 0
reconnect_max_s = 1
"""

_SERIAL = """
[[serial]]
path = "{path}"
baud = {baud}
"""

_CLOUD = """\
listen = ["{url}"]
store = "{folder}/cloud.db"

[ledger]
path = "{folder}/cloud.ledger.db"
node = "cloud"

[control]
socket = false
"""

_MOSQUITTO = """\
{user}listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_on_changes true
autosave_interval 1
max_queued_messages 0
"""


def gateway(folder: Path, cloud: str, lines: list[str], baud: int, page: str) -> Path:
    """The gateway's file. `page`: where its page is, as HOST:PORT; "": it has none."""
    table = f'\n[page]\nlisten = "http://{page}"\n' if page else ""
    text = _GATEWAY.format(folder=folder, cloud=cloud, page=table)
    path = folder / "gateway.toml"
    path.write_text(text + "".join(_SERIAL.format(path=line, baud=baud) for line in lines))
    return path


def cloud(folder: Path, url: str) -> Path:
    """The file of the second broker, where it is ours."""
    path = folder / "cloud.toml"
    path.write_text(_CLOUD.format(folder=folder, url=url))
    return path


def mosquitto(folder: Path, port: int) -> Path:
    """Mosquitto's file."""
    path = folder / "mosquitto.conf"
    # Started by root it becomes another user, who may not write here, unless it is told not to.
    user = "user root\n" if os.geteuid() == 0 else ""
    path.write_text(_MOSQUITTO.format(folder=folder, port=port, user=user))
    return path


def find_mosquitto() -> str | None:
    """The program, where it is installed."""
    return shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def has_page() -> bool:
    """Whether what the page needs is installed."""
    return importlib.util.find_spec("aiohttp") is not None


def free_port() -> int:
    """A port that nobody has now: who uses it again after being killed needs always the same."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
