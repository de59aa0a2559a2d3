"""Users and their passwords: a file with a line NAME:HASH for each, as Mosquitto's. And the user that a client's
certificate names.

A check with argon2id takes long on purpose. What a client has shown once is therefore remembered, in memory, as an HMAC
under a key of this process alone: a whole house that connects again after a power cut is let in at once, and guessing
costs as much as before.
"""

import hmac
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .passwords import Check, check_of
from .secret_files import read_text

COMMON_NAME = "common-name"
ALTERNATIVE_NAME = "alternative-name"
CERTIFICATE_USERS = (COMMON_NAME, ALTERNATIVE_NAME)

_KINDS = ("DNS", "email", "URI")  # of alternative names, those that name somebody
_NAME_BYTES = 1024


class Users:
    """Names, what is kept of their passwords, and who is in which group. `kept`: as passwords.py has it.

    quick(name, password)    True, False; None: it takes long, so `check` has to be called in a thread
    check(name, password)    True or False
    """

    def __init__(self, kept: Mapping[str, str], groups: Mapping[str, frozenset[str]] | None = None) -> None:
        """ValueError names the user whose password nobody could ever match."""
        self._kept = dict(kept)
        self._checks: dict[str, tuple[Check, bool]] = {}
        for name, text in kept.items():
            try:
                check_name(name)
                self._checks[name] = check_of(text)
            except ValueError as error:
                raise ValueError(f"user {name!r:.60}: {error}") from None
        self._groups: dict[str, frozenset[str]] = {}
        for group, members in (groups or {}).items():
            for name in members:
                self._groups[name] = self._groups.get(name, frozenset()) | {group}
        self._key = secrets.token_bytes(32)
        self._shown: dict[str, bytes] = {}  # HMAC of the password that a user has shown last, by name
        # Who asks for a name that there is not waits as long as for one that there is.
        self._nobody = max(self._checks.values(), key=lambda each: each[1], default=None)

    def __contains__(self, name: object) -> bool:
        return name in self._checks

    def __iter__(self) -> Iterator[str]:
        return iter(self._checks)

    def __len__(self) -> int:
        return len(self._checks)

    def groups_of(self, name: str) -> frozenset[str]:
        """The groups in which this user is."""
        return self._groups.get(name, frozenset())

    def quick(self, name: str, password: bytes) -> bool | None:
        """Whether that is the password, where it can be said at once; None: ask `check`, in a thread."""
        shown = self._shown.get(name)
        if shown is not None and hmac.compare_digest(shown, self._mark(password)):
            return True
        found = self._checks.get(name, self._nobody)
        if found is None:
            return False
        return None if found[1] else self.check(name, password)

    def check(self, name: str, password: bytes) -> bool:
        """Whether that is the password. May be called in a thread."""
        found = self._checks.get(name)
        if found is None:
            if self._nobody:
                self._nobody[0](password)
            return False
        is_right = found[0](password)
        if is_right and found[1]:
            self._shown[name] = self._mark(password)
        return is_right

    def remember(self, before: "Users") -> None:
        """What users have shown to those who were here before a file was read again, where it says the same of them."""
        self._key = before._key
        self._shown = {
            name: mark for name, mark in list(before._shown.items()) if self._kept.get(name) == before._kept.get(name)
        }

    def same_password(self, name: str, before: "Users") -> bool:
        """Whether this user has the password that it had."""
        return self._kept.get(name) == before._kept.get(name)

    def _mark(self, password: bytes) -> bytes:
        return hmac.digest(self._key, password, "sha256")


def check_name(name: str) -> None:
    """ValueError for what cannot be a user's name."""
    if not name:
        raise ValueError("a user's name is empty")
    if name.startswith("#"):
        raise ValueError("a user's name does not begin with #: in the file that is a remark")
    if ":" in name or not name.isprintable() or name != name.strip():
        raise ValueError("a user's name has no colon, no blank at its ends, and no sign that nobody sees")
    if len(name.encode()) > _NAME_BYTES:
        raise ValueError(f"a user's name has at most {_NAME_BYTES} bytes")


def parse(text: str, where: str) -> dict[str, str]:
    """What is kept of each password, by name. `where`: the file, for errors. ValueError names the line."""
    kept: dict[str, str] = {}
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.rstrip("\r")
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, rest = line.partition(":")
        try:
            if not colon:
                raise ValueError("a line is NAME:HASH; mqttlite passwd writes it")
            check_name(name)
            if name in kept:
                raise ValueError(f"user {name!r} stands there twice")
            check_of(rest.strip())
        except ValueError as error:
            raise ValueError(f"{where}: line {number}: {error}") from None
        kept[name] = rest.strip()
    return kept


def read_users(path: Path, groups: Mapping[str, frozenset[str]] | None = None) -> Users:
    """The users of a file. ValueError: it is broken, or everybody on this machine can read it."""
    return Users(parse(read_text(path, "passwords"), str(path)), groups)


def name_of(certificate: Mapping[str, Any] | None, which: str) -> str | None:
    """The user that a certificate names (as `ssl.SSLSocket.getpeercert` has it): its common name, or the first of its
    alternative names that is a DNS name, an e-mail address or a URI. None: it names none that can be a user.
    """
    if not certificate:
        return None
    if which == COMMON_NAME:
        names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
        if len(names) != 1:  # which of two would be meant is for nobody to guess
            return None
    else:
        names = [value for kind, value in certificate.get("subjectAltName", ()) if kind in _KINDS]
    if not names:
        return None
    name = str(names[0])
    return name if name and name.isprintable() else None
