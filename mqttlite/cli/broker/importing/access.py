"""Users and rules of mosquitto.conf, as [access]."""

import contextlib
import shlex
import stat
from pathlib import Path
from typing import Any

from ....broker.config.access import ANYBODY, LOOPBACK, NOBODY
from .lines import CHANGED, NOT, TAKEN, Conf, Section

_LOCAL = ("127.", "[::1]", "localhost")


def table(conf: Conf, urls: list[str]) -> dict[str, Any]:
    """The table [access]; an empty one where everybody of this machine may connect."""
    found: dict[str, Any] = {}
    sections = conf.listeners
    for word, key in (("password_file", "password_file"), ("acl_file", "acl_file")):
        value = _common(sections, word, key)
        if value:
            found[key] = value
    named = [section.lines["use_identity_as_username"] for section in sections if _is_named(section)]
    for section in sections:
        if "use_identity_as_username" in section.lines:
            line = section.lines["use_identity_as_username"]
            line.say(TAKEN, 'certificate_users = "common-name"' if line.is_true else "certificates name no user")
    if named:
        found["certificate_users"] = "common-name"
    anonymous = _anonymous(conf, sections, urls)
    if anonymous != LOOPBACK or found:
        found["anonymous"] = anonymous
    return found


def _is_named(section: Section) -> bool:
    return section.is_true("use_identity_as_username")


def _common(sections: list[Section], word: str, key: str) -> str:
    """What all listeners have for a file; where they differ, that of the first one."""
    lines = [section.lines[word] for section in sections if word in section.lines]
    values = list(dict.fromkeys(line.value for line in lines))
    for line in lines:
        if line.value != values[0]:
            line.say(NOT, f"users and rules are the same at all listeners here: {key} is {values[0]}")
        elif len(lines) < len(sections):
            line.say(CHANGED, f"{key}, for all listeners: here they are the same at all of them")
        else:
            more = _remedy(line.value) if key == "password_file" else "; a line deny is stronger than any other here"
            line.say(CHANGED if more.startswith(":") else TAKEN, f"{key}{more}")
    return values[0] if values else ""


def _remedy(file: str) -> str:
    """What has to be done before the broker takes a file of passwords; "": nothing."""
    with contextlib.suppress(OSError):
        if Path(file).stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            return f": first chmod o-rwx {shlex.quote(file)}, which every user of this machine can read"
    return ""


def _anonymous(conf: Conf, sections: list[Section], urls: list[str]) -> str:
    """Who may connect without a user name: nobody where one listener wants to know."""
    is_default = not any(section.head or "port" in section.lines for section in sections)
    allows = [
        section.is_true("allow_anonymous") if "allow_anonymous" in section.lines else is_default for section in sections
    ]
    is_local = all(url.startswith("unix:") or url.partition("://")[2].startswith(_LOCAL) for url in urls)
    anonymous = NOBODY if not all(allows) else LOOPBACK if is_local else ANYBODY
    for section in sections:
        if "allow_anonymous" in section.lines:
            line = section.lines["allow_anonymous"]
            differs = line.is_true and anonymous == NOBODY
            more = ": another listener does not allow it, and here it is the same at all" if differs else ""
            line.say(CHANGED if differs else TAKEN, f'anonymous = "{anonymous}"{more}')
    return anonymous
