"""How a broker writes its log to standard error: `--log FORM`, or [log] in its file.

    text     2026-11-30 13:39:15,123 INFO 'kitchen' at 127.0.0.1:40302 closed: disconnected
    keys     time=2026-11-30T13:39:15.123Z level=info event=closed client=kitchen address=127.0.0.1:40302 … msg="…"
    json     {"time": "2026-11-30T13:39:15.123Z", "level": "info", "event": "closed", "client": "kitchen", …}
    journal  <6>'kitchen' at 127.0.0.1:40302 closed: disconnected event=closed client=kitchen …

`journal` is for systemd, which keeps the time by itself and takes the number in front for the priority; it is chosen
by itself where standard error goes to the journal. There its own protocol is spoken, if its socket is there
(journald.py): fields are fields then. Each line is one record, whatever names from elsewhere stand in it.
"""

import json
import logging
import os
import re
import sys
from datetime import UTC, datetime

from ..running import LogFormatter
from ..streams import one_line

_PLAIN = re.compile(r"[^\s\"=\\]+")
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def start(form: str, level: int, identifier: str = "mqttlite") -> None:
    """Log to standard error. `form`: one of FORMS; "": as it fits, and to the journal itself where that can be had, as
    `identifier`.
    """
    handler: logging.Handler | None = None
    if not form and _fitting() == "journal":
        from .journald import journal

        handler = journal(identifier)
    if handler is None:
        handler = logging.StreamHandler()
        handler.setFormatter(formatter(form or _fitting()))
    logging.basicConfig(handlers=[handler], level=level)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def formatter(form: str) -> logging.Formatter:
    """For one of FORMS."""
    if form == "text":
        return LogFormatter("%(asctime)s %(levelname)s %(message)s")
    return {"keys": _Keys, "json": _Json, "journal": _Journal}[form]()


def _fitting() -> str:
    """`journal` where standard error is the one that systemd has given to its service."""
    device, mark, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return "text"
    return "journal" if mark and (device, inode) == (str(found.st_dev), str(found.st_ino)) else "text"


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """What a record says beside its text, by name."""
    fields = getattr(record, "fields", None)
    event = getattr(record, "event", None)
    return {**({"event": event} if event else {}), **(fields if isinstance(fields, dict) else {})}


def priority_of(record: logging.LogRecord) -> int:
    """As syslog counts."""
    return next((number for level, number in _PRIORITIES if record.levelno >= level), 7)


class _Structured(logging.Formatter):
    def _header(self, record: logging.LogRecord) -> dict[str, object]:
        at = datetime.fromtimestamp(record.created, UTC)
        return {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            **fields_of(record),
        }

    def _exception(self, record: logging.LogRecord) -> str:
        return self.formatException(record.exc_info) if record.exc_info else ""


class _Keys(_Structured):
    def format(self, record: logging.LogRecord) -> str:
        """As of logging.Formatter."""
        found = {**self._header(record), "msg": record.getMessage()}
        if text := self._exception(record):
            found["exception"] = text
        return keys(found)


class _Json(_Structured):
    def format(self, record: logging.LogRecord) -> str:
        """As of logging.Formatter."""
        found = {**self._header(record), "logger": record.name, "message": record.getMessage()}
        if text := self._exception(record):
            found["exception"] = text
        return json.dumps(found, ensure_ascii=True, default=str)


class _Journal(_Structured):
    def format(self, record: logging.LogRecord) -> str:
        """As of logging.Formatter. Each line of a traceback has the priority in front, for each becomes a record."""
        priority = priority_of(record)
        lines = [" ".join(filter(None, (one_line(record.getMessage()), keys(fields_of(record)))))]
        lines += self._exception(record).splitlines()
        return "\n".join(f"<{priority}>{line}" for line in lines)


def keys(fields: dict[str, object]) -> str:
    """NAME=VALUE for each, as logfmt has it: a value with spaces and the like is in quotes, as in JSON."""
    return " ".join(f"{name}={_value(value)}" for name, value in fields.items())


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text if text.isprintable() and _PLAIN.fullmatch(text) else json.dumps(text)
