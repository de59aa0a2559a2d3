"""Who looks at the page, and what they may: logins, sessions, rights. Without I/O: `now` comes in as milliseconds.

Users are those of the broker (its password file); of these, the members of two groups have a right here: who is in
neither, such as a device, cannot log in. Without users there is nobody to be told apart: then only this machine is let
in, or everybody where the broker says `anonymous = "anybody-on-the-network"`.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mqttlite.broker.access.users import Users
from mqttlite.broker.bounds.addresses import is_local, key_of
from mqttlite.broker.counting.stats import Stats, Watch
from mqttlite.broker.gates.logins import Logins
from mqttlite.broker.limits import Limits

from ..settings.errors import ConfigError
from ..settings.page import PageSettings

IDLE_MS = 12 * 3600_000  # of a session that nobody uses
LIFE_MS = 7 * 24 * 3600_000  # of any session
SESSIONS_MAX = 200  # beyond it the one goes that was not used for the longest time
PASSWORD_BYTES = 1024
TOO_MANY = 429  # of HTTP
NAME_LENGTH = 1024


class Guard(Protocol):
    """What is asked of the broker's Access; where it is no Access, there are no users."""

    users: Users | None
    anonymous: bool | str


class LoginError(Exception):
    """No. `status`: of HTTP; `wait_s`: when to try again."""

    def __init__(self, text: str, status: int = 403, wait_s: int = 0) -> None:
        super().__init__(text)
        self.status = status
        self.wait_s = wait_s


@dataclass(frozen=True)
class Visitor:
    """`name`: None for whoever is let in without one. `csrf`: what a page has to show with everything that it wants
    changed. `address`: where from.
    """

    name: str | None
    may_act: bool
    csrf: str
    address: str
    groups: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        """For log lines."""
        return f"page (user {self.name!a} at {self.address})" if self.name else f"page ({self.address})"


@dataclass
class _Session:
    name: str
    users: Users  # as they were at the login: another password ends the session
    made_at: int
    seen_at: int
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24))


class People:
    """`guard`: the broker's, asked each time, because a reload makes another one; None, or no Access: no users.
    `settings`: which groups may act and look. `is_proxied` of a request: it came through a proxy.
    Addresses are HOST:PORT, as the broker has them.
    """

    def __init__(self, guard: Callable[[], object], settings: PageSettings) -> None:
        self._guard = guard
        self._admin_group = settings.admin_group
        self._reader_group = settings.reader_group
        self._sessions: dict[bytes, _Session] = {}
        self._csrf = secrets.token_urlsafe(24)  # of whoever is let in without a name
        self._logins = Logins(Limits(), Watch(Stats()))

    @property
    def users(self) -> Users | None:
        """Who can log in; None: nobody is asked."""
        found = getattr(self._guard(), "users", None)
        return found if isinstance(found, Users) else None

    def can_be_used(self) -> bool:
        """Whether there is anybody who may log in."""
        users = self.users
        return users is not None and any(self._rights(users.groups_of(name))[0] for name in users)

    def is_open(self) -> bool:
        """Whether everybody on the network is let in, because the file says so."""
        return self.users is None and getattr(self._guard(), "anonymous", None) is True

    def who(self, token: str, address: str, is_proxied: bool, now: int) -> Visitor | None:
        """Who it is that shows this token, "" for none, and comes from `address`; None: they have to log in."""
        users = self.users
        if users is None:
            if not self.is_open() and (is_proxied or not is_local(key_of(address))):
                return None
            return Visitor(None, True, self._csrf, address)
        session = self._sessions.get(_key(token)) if token else None
        if session is None:
            return None
        is_over = now - session.seen_at > IDLE_MS or now - session.made_at > LIFE_MS
        if session.users is not users:  # the file was read again
            is_over = is_over or session.name not in users or not users.same_password(session.name, session.users)
            session.users = users
        groups = users.groups_of(session.name)
        may_look, may_act = self._rights(groups)
        if is_over or not may_look:
            del self._sessions[_key(token)]
            return None
        session.seen_at = now
        return Visitor(session.name, may_act, session.csrf, address, groups)

    def _rights(self, groups: frozenset[str]) -> tuple[bool, bool]:
        may_act = self._admin_group in groups
        return may_act or self._reader_group in groups, may_act

    def ask(self, name: str, password: str, address: str, now: int) -> "Callable[[], bool] | bool":
        """Whether that is the password of a user who may be here; a function: call it, in a thread, and tell `answered`
        what it says. LoginError: no, without a look at the password.
        """
        users = self.users
        if users is None:
            raise LoginError("there are no users here, so nobody can log in", 403)
        if not self._logins.may_try(address, name, now):
            raise LoginError("too many wrong passwords; wait a minute, then try again", TOO_MANY, 60)
        data = password.encode(errors="surrogatepass")
        if len(name) > NAME_LENGTH or len(data) > PASSWORD_BYTES:
            return False
        known = users.quick(name, data)
        return known if known is not None else lambda: users.check(name, data)

    def answered(self, name: str, address: str, is_right: bool, now: int) -> None:
        """What became of a login. LoginError: it is refused."""
        users = self.users
        if not is_right or users is None or name not in users:
            self._logins.failed(address, name)
            raise LoginError("unknown user or wrong password")
        if not self._rights(users.groups_of(name))[0]:
            raise LoginError(
                f"this user may not look at the page: it is in neither of the groups {self._admin_group} and "
                f"{self._reader_group} ([groups] in the gateway's file)"
            )

    def open(self, name: str, now: int) -> str:
        """The token of a new session of a user who has shown the password."""
        users = self.users
        assert users is not None
        if len(self._sessions) >= SESSIONS_MAX:
            oldest = min(self._sessions, key=lambda key: self._sessions[key].seen_at)
            del self._sessions[oldest]
        token = secrets.token_urlsafe(32)
        self._sessions[_key(token)] = _Session(name, users, now, now)
        return token

    def close(self, token: str) -> None:
        """The session is over."""
        self._sessions.pop(_key(token), None)


def _key(token: str) -> bytes:
    """What is kept of a token: who reads the memory of this process cannot show it."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def is_same(shown: str, wanted: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(shown.encode(errors="surrogatepass"), wanted.encode())


def is_proxied(headers: Mapping[str, str]) -> bool:
    """Whether a request says that it came through a proxy: then its address is the proxy's, and proves nothing."""
    return any(name in headers for name in ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"))


def check_people(people: People, settings: PageSettings) -> None:
    """ConfigError where everybody on the network could do everything, or nobody could log in."""
    admins, readers = settings.admin_group, settings.reader_group
    if people.users is None:
        if not settings.is_local and not people.is_open():
            raise ConfigError(
                f"[page]: {settings.listen} can be reached from the network, and there are no users who could log in. "
                "Make one with `mqttlite passwd /etc/mqttlite/users ann`, and name it in the gateway's file: "
                f'password_file = "/etc/mqttlite/users" below [access], and {admins} = ["ann"] below [groups]. Or let '
                'the page be this machine\'s alone, listen = "http://127.0.0.1:8080"; or, in a network that you trust, '
                'anonymous = "anybody-on-the-network" below [access]'
            )
    elif not people.can_be_used():
        raise ConfigError(
            f"[page]: nobody could log in: of the users, none is in the group {admins} (who may change things) or "
            f"{readers} (who may look). Write in the gateway's file, below [groups]: "
            f'{admins} = ["{next(iter(people.users), "ann")}"]'
        )
