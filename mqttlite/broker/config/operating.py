"""[metrics], [control] and [log]: how the broker is looked at and looked after (docs/operating.md).

[metrics]
listen = "127.0.0.1:9883"

[control]
socket = "/run/mqttlite/broker.sock"    # or false: none

[log]
form = "json"
"""

from ...settings.found import Found
from ..operating.metrics_page import address_of
from .settings import Settings

KEYS = ("metrics", "control", "log")
FORMS = ("text", "keys", "json", "journal")  # of a log (cli/serving/log_forms.py)


def read(found: Found, settings: Settings) -> None:
    """Take the tables over."""
    with found.gathering():
        found.names(("metrics",), ("listen",))
        if "metrics" in found.data:
            settings.metrics = metrics(found.where("metrics", "listen"), found.table("metrics").get("listen"))
    with found.gathering():
        found.names(("control",), ("socket",))
        socket = found.table("control").get("socket", "")
        if socket is not False and (not isinstance(socket, str) or ("socket" in found.table("control") and not socket)):
            text = f"socket has to be the path of a Unix socket in quotes, or false, not {socket!r:.60}"
            raise found.mistake(("control", "socket"), text)
        settings.control = None if socket is False else str(socket)
    with found.gathering():
        found.names(("log",), ("form",))
        if "form" in found.table("log"):
            settings.log = log_form(found.where("log", "form"), found.table("log")["form"])


def metrics(where: str, value: object) -> str:
    """An address for the page of metrics. `where`: how an error begins."""
    if not isinstance(value, str):
        raise ValueError(f'{where}listen has to be HOST:PORT in quotes, as "127.0.0.1:9883", not {value!r:.60}')
    try:
        address_of(value)
    except ValueError as error:
        raise ValueError(f"{where}{error}") from None
    return value


def log_form(where: str, value: object) -> str:
    """One of the forms of a log."""
    if value not in FORMS:
        raise ValueError(f"{where}form has to be one of {', '.join(FORMS)}, not {value!r:.60}")
    return str(value)
