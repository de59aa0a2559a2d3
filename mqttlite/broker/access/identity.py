"""Who a client is, as the broker has found out. Imports rule.

An identity is what rights are asked for (guard.py), what a session belongs to, and what is kept with a retained message
and a will, so that the right to publish them can be asked for again. `encoded` and `decoded` are for the store.
"""

import json
from dataclasses import dataclass, field, replace
from typing import Any

from .rule import Rule

# How a client has shown who it is
ANONYMOUS = "anonymous"
PASSWORD = "password"
CERTIFICATE = "certificate"
HOOK = "hook"
INSIDE = "inside"  # a program in this process (inside.py): it may everything
WIRE = "wire"  # it is at the other end of a wire to this machine (Broker.join)


@dataclass(frozen=True, slots=True)
class Identity:
    """`user`: the user name, None for a client without one that is known to be true; `groups` of the user; `how` it was
    shown; `address` of the connection; `client_id`. `rules`: rights of its own beside those of the rules for all, as a
    hook gives them (hooks.py); they live as long as the identity. A hook need not say how, from where, and which
    client: the broker knows.
    """

    user: str | None = None
    groups: frozenset[str] = frozenset()
    how: str = ANONYMOUS
    address: str = field(default="", compare=False)
    client_id: str = ""
    rules: tuple[Rule, ...] = ()
    # Rights as they were worked out last, for whoever has done that (rules.py)
    rights: Any = field(default=None, compare=False, repr=False)

    def keep_rights(self, rights: object) -> None:
        """Remember what was worked out for it."""
        object.__setattr__(self, "rights", rights)

    @property
    def text(self) -> str:
        """For log lines."""
        return "without a user name" if self.user is None else f"user {self.user!a}"

    @property
    def subject(self) -> str:
        """For a sentence that begins with it."""
        return f"a client {self.text}" if self.user is None else self.text


NOBODY = Identity()


def placed(identity: Identity, address: str, client_id: bytes) -> Identity:
    """The same, of a connection from `address` with this client identifier, which is the one that counts."""
    return replace(identity, address=address, client_id=client_id.decode(), rights=None)


def owns(owner: Identity | None, newcomer: Identity) -> bool:
    """Whether a session of `owner` may go on with `newcomer`: it is the same user, or the session was nobody's: of a
    client without a user name, which anybody could have been. None: of before there were owners.
    """
    return owner is None or owner.user is None or owner.user == newcomer.user


def claims(owner: Identity | None, newcomer: Identity) -> bool:
    """Whether a session was nobody's, and a user makes it its own."""
    return newcomer.user is not None and (owner is None or owner.user is None)


def encoded(identity: Identity) -> bytes:
    """As the store keeps the owner of a session, whose client identifier it has; empty for nobody in particular."""
    found = _said(identity)
    if identity.rules:
        found["rules"] = [
            [rule.filter, sorted(rule.actions), rule.allow, rule.user, rule.group, rule.client]
            for rule in identity.rules
        ]
    return json.dumps(found, separators=(",", ":")).encode() if found else b""


def _said(identity: Identity) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if identity.user is not None:
        found["user"] = identity.user
    if identity.groups:
        found["groups"] = sorted(identity.groups)
    if identity.how != ANONYMOUS:
        found["how"] = identity.how
    return found


def decoded(data: bytes, client_id: bytes) -> Identity:
    """What `encoded` has made, of the client with this identifier. ValueError where it is something else."""
    return _read(json.loads(data) if data else {}, client_id.decode())


def _read(found: Any, client_id: str) -> Identity:
    try:
        rules = tuple(Rule(each[0], frozenset(each[1]), *each[2:]) for each in found.get("rules", ()))
        groups = frozenset(found.get("groups", ()))
        return Identity(found.get("user"), groups, found.get("how", ANONYMOUS), "", client_id, rules)
    except (TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"no identity: {error}") from None


def source(identity: Identity) -> bytes:
    """As it is kept with a retained message or a will that it has published; empty where that needs no right later:
    rules that only this client had ended with its connection.
    """
    if identity.rules:
        return b""
    return json.dumps({"client": identity.client_id} | _said(identity), separators=(",", ":")).encode()


def of_source(data: bytes) -> Identity:
    """What `source` has made. ValueError where it is something else."""
    found = json.loads(data)
    return _read(found, found["client"])
