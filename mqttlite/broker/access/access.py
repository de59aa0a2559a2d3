"""Who may connect and what they may do, put together: users, rules, certificates, hooks. Imports guard, rules, hooks.

The engine knows nothing of this but `Guard`.
"""

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol, cast

from ...core.reason_codes import BAD_CREDENTIALS, NOT_AUTHORISED, UNAVAILABLE
from ..bounds.addresses import is_local, key_of
from .authentication import Arriving, Authenticate, Refusal
from .guard import ALLOW_ALL, Guard, Later
from .hooks import Authenticating, Hooks, Message
from .identity import ANONYMOUS, CERTIFICATE, HOOK, INSIDE, PASSWORD, WIRE, Identity
from .rules import Rules

log = logging.getLogger("mqttlite.broker")

LOCAL = "local"


class UserBase(Protocol):
    """Users and their passwords (users.py has them from a file)."""

    def __contains__(self, name: object) -> bool: ...

    def groups_of(self, name: str) -> frozenset[str]:
        """The groups that a user is in."""
        ...

    def quick(self, name: str, password: bytes) -> bool | None:
        """Whether that is the password; None: it takes long, so `check` is called in a thread."""
        ...

    def check(self, name: str, password: bytes) -> bool:
        """Whether that is the password; called in a thread."""
        ...


CertificateName = Callable[[Mapping[str, Any]], str | None]


class Access(Guard):
    """`users`: who may connect with a password; None: nobody is asked for one. `rules`: what they may do; None:
    everything. `anonymous`: whether clients without a user name may connect: True, False, or "local" for those of this
    machine alone; None: False where users can be told apart, else "local". `certificate_name`: the user that a client's
    certificate names (as `ssl.SSLSocket.getpeercert` has it); None: certificates name nobody. `hooks`: what a program
    has a say in. `close_denied`: a client of 3.1.1 that publishes what it may not is disconnected, instead of its
    message being acknowledged and dropped [MQTT-3.3.5-2]. `groups`: members of each, where there are no `users` who
    know theirs: of certificates, and of devices on wires.
    """

    def __init__(
        self,
        *,
        users: UserBase | None = None,
        rules: Rules | None = None,
        anonymous: bool | str | None = None,
        certificate_name: CertificateName | None = None,
        hooks: Hooks | None = None,
        close_denied: bool = False,
        groups: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        if anonymous not in (True, False, LOCAL, None):
            raise ValueError(f'Access: anonymous is True, False or "local", not {anonymous!r:.60}')
        self.users = users
        self.rules = rules
        self.hooks = hooks or Hooks()
        if anonymous is None:
            asks = users is not None or certificate_name is not None or self.hooks.authenticate is not None
            anonymous = False if asks else LOCAL
        self.anonymous = anonymous
        self.closes_denied = close_denied
        self.groups = groups or {}
        self.inspects = self.hooks.inspect is not None
        self.certificate_name = certificate_name
        self.other_passwords: frozenset[str] = frozenset()  # users who have others than under the guard before
        self.is_open = rules is None and self.hooks.authenticate is None and self.hooks.authorise is None

    def with_hooks(self, hooks: Hooks) -> "Access":
        """The same, with these hooks."""
        return Access(
            users=self.users,
            rules=self.rules,
            anonymous=self.anonymous,
            certificate_name=self.certificate_name,
            hooks=hooks,
            close_denied=self.closes_denied,
            groups=self.groups,
        )

    # -- who it is

    def admit(self, arriving: Arriving) -> Identity | Later:
        """As Guard.admit."""
        if self.hooks.authenticate is not None:
            return lambda: self._ask_hook(arriving)
        if self.certificate_name is not None and arriving.certificate:
            name = self.certificate_name(arriving.certificate)
            if name is not None:
                return self._identity(arriving, name, CERTIFICATE)
        name = arriving.username
        if name is None or self.users is None:  # a name that nobody checks is none
            if self.anonymous is True or (self.anonymous == LOCAL and is_local(key_of(arriving.address))):
                return self._identity(arriving, None, ANONYMOUS)
            why = "it has shown no user name and password, and has to"
            raise Refusal(NOT_AUTHORISED, why, "the broker wants a user name and password")
        password = arriving.password
        if password is None:
            raise Refusal(BAD_CREDENTIALS, f"user {name!a} without a password", "a user name without a password")
        is_right = self.users.quick(name, password)
        if is_right is None:
            return lambda: self._check(arriving, name, password)
        return self._checked(arriving, name, is_right)

    async def _check(self, arriving: Arriving, name: str, password: bytes) -> Identity:
        assert self.users
        job = asyncio.ensure_future(asyncio.to_thread(self.users.check, name, password))
        try:
            is_right = await asyncio.shield(job)
        except asyncio.CancelledError:
            await asyncio.wait([job])  # a thread cannot be stopped, so its place is not free before
            raise
        return self._checked(arriving, name, is_right)

    def _checked(self, arriving: Arriving, name: str, is_right: bool) -> Identity:
        if not is_right:
            raise Refusal(BAD_CREDENTIALS, f"unknown user or wrong password, user name {name!a}")
        return self._identity(arriving, name, PASSWORD)

    async def _ask_hook(self, arriving: Arriving) -> Identity:
        assert self.hooks.authenticate
        try:
            found: object = await self.hooks.authenticate(arriving)
        except Refusal:
            raise
        except Exception as error:
            log.exception("unexpected error in the hook authenticate")
            raise Refusal(UNAVAILABLE, "the hook authenticate failed") from error
        if found is None:
            raise Refusal(BAD_CREDENTIALS, f"the hook authenticate has refused user name {arriving.username!a:.100}")
        if not isinstance(found, Identity):
            log.error("the hook authenticate must return an Identity or None, not %.60r", found)
            raise Refusal(UNAVAILABLE, "the hook authenticate failed")
        return replace(found, user=found.user or None, how=HOOK, rights=None)

    def _identity(self, arriving: Arriving, name: str | None, how: str) -> Identity:
        return Identity(name, self.groups_of(name), how, arriving.address, arriving.client_id)

    def groups_of(self, name: str | None) -> frozenset[str]:
        """The groups that a user is in."""
        if name is None:
            return frozenset()
        if self.users is not None:
            return self.users.groups_of(name)
        return frozenset(group for group, members in self.groups.items() if name in members)

    def known(self, identity: Identity) -> Identity | None:
        """As Guard.known. Whom a hook has let in stays as the hook has said."""
        name = identity.user
        if identity.how == PASSWORD:
            if self.users is None or name not in self.users:
                return None
        elif identity.how == CERTIFICATE:
            if self.certificate_name is None:
                return None
        elif identity.how == ANONYMOUS:
            if not self.anonymous or (
                self.anonymous == LOCAL and identity.address and not is_local(key_of(identity.address))
            ):
                return None
            return identity
        elif identity.how != WIRE:
            return identity
        groups = self.groups_of(name)
        if groups == identity.groups:
            return identity
        return Identity(name, groups, identity.how, identity.address, identity.client_id)

    def stays(self, identity: Identity) -> bool:
        """As Guard.stays."""
        return identity.how != PASSWORD or identity.user not in self.other_passwords

    # -- what it may

    def may(self, identity: Identity, action: str, topic: bytes) -> bool:
        """As Guard.may."""
        if identity.how == INSIDE:
            return True
        if self.hooks.authorise is not None:
            try:
                answer = self.hooks.authorise(identity, action, topic.decode())
            except Exception:
                log.exception("unexpected error in the hook authorise: %s is denied", action)
                return False
            if answer is not None:
                return answer is True
        if self.rules is not None:
            return self.rules.may(identity, action, topic)
        return not identity.rules or _OWN.may(identity, action, topic)

    def inspect(self, identity: Identity, flags: int, topic: bytes, payload: bytes) -> tuple[int, bytes] | None:
        """As Guard.inspect."""
        hook = self.hooks.inspect
        assert hook
        message = Message(topic.decode(), payload, flags >> 1, bool(flags & 1))
        try:
            found: object = hook(identity, message)
        except Exception:
            log.exception("unexpected error in the hook inspect: a message is not taken")
            return None
        if found is None:
            return None
        if not isinstance(found, Message) or (found.topic, found.qos) != (message.topic, message.qos):
            log.error("the hook inspect must return a Message with topic and QoS as they were, or None: %.100r", found)
            return None
        return flags & 6 | found.retain, bytes(found.payload)


def guard_of(access: Access | None, hooks: Hooks | None) -> Guard:
    """What `Broker` is given, as the engine asks it. TypeError where it is something else."""
    if access is not None and not isinstance(access, Access):
        raise TypeError(f"access must be Access(...), not {access!r:.60}")
    if hooks is not None and not isinstance(hooks, Hooks):
        raise TypeError(f"hooks must be Hooks(...), not {hooks!r:.60}")
    if access is None:
        return ALLOW_ALL if hooks is None else Access(hooks=hooks)
    return access if hooks is None else access.with_hooks(hooks)


def by_kind(
    authenticate: Authenticate | Authenticating | None, hooks: Hooks | None
) -> tuple[Authenticate | None, Hooks | None]:
    """The generator function that `Broker` was given as its `authenticate`, and its hooks with the coroutine function
    that it was given there. TypeError where it has got two.
    """
    if not inspect.iscoroutinefunction(authenticate):
        return cast("Authenticate | None", authenticate), hooks
    if hooks is not None and hooks.authenticate is not None:
        raise TypeError("Broker: authenticate stands in hooks, too: give it once")
    return None, replace(hooks or Hooks(), authenticate=authenticate)


_OWN = Rules()  # where an identity's own are all that there are
