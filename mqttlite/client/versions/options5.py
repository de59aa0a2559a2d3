"""The arguments of Client that only MQTT 5.0 has, besides those that boards know. CPython only; loaded by who gives
some.
"""

from typing import TYPE_CHECKING, Any

from ...core.message_properties import encode_pairs
from ...core.opening5 import Opening
from ...core.properties import TOPIC_ALIAS_MAXIMUM
from ..arguments.checks import check_function, check_number, check_version, encoded, wrong_type
from ..arguments.checks5 import check_pairs

if TYPE_CHECKING:
    from ..host import Client

DEFAULTS: dict[str, Any] = {"topic_alias_maximum": 0, "user_properties": None, "authentication": None}
DEFAULTS |= {"request_response_information": False, "request_problem_information": True}
DEFAULTS |= {"follow_server_reference": False}


def take(options: dict[str, Any]) -> dict[str, Any]:
    """Those among the options of a client, which no longer has them then; checked. Empty for one of 3.1.1, which may be
    given their defaults.
    """
    found = {name: options.pop(name, default) for name, default in DEFAULTS.items()}
    found["assigns"] = options.get("client_id", "") is None
    is_5 = options.get("version") in ("5.0", 5)
    if not is_5:
        if found["assigns"]:
            raise wrong_type("client_id", 'str (with version="5.0" None: the broker chooses)', None)
        check_version([name for name, value in DEFAULTS.items() if found[name] != value], options)
    check_number("topic_alias_maximum", found["topic_alias_maximum"], 0, 65535)
    if found["user_properties"] is not None:
        check_pairs("user_properties", found["user_properties"])
    for name in ("request_response_information", "request_problem_information", "follow_server_reference"):
        if not isinstance(found[name], bool):
            raise wrong_type(name, "True or False", found[name])
    authentication = found["authentication"]
    if authentication is not None and not (isinstance(authentication, tuple) and len(authentication) == 2):
        raise wrong_type("authentication", "Authentication(method, answers)", authentication)
    if authentication is not None:
        method, answers = authentication
        if not isinstance(method, str):
            raise wrong_type("authentication's method", "str", method)
        if not 0 < len(encoded("authentication's method", method)) <= 65535:
            raise ValueError("authentication's method must have 1 to 65535 bytes: its name at the broker")
        check_function("authentication's answers", answers)
    if found["assigns"]:
        if options.get("store") or options.get("keys"):
            raise ValueError("a store and keys need a client_id of your own, not one that the broker assigns")
        del options["client_id"]
        options.setdefault("clean_session", True)
    if not is_5:
        return {}
    for name in ("session_expiry_s", "receive_maximum"):  # which boards have as well, and say in another way
        found[name] = options.pop(name, None)
    return found


def apply(client: "Client", found: dict[str, Any]) -> None:
    """Have the client say them."""
    protocol = client._life.protocol
    block = b""
    if found["topic_alias_maximum"]:
        protocol.alias_max = found["topic_alias_maximum"]
        protocol.aliases = {}
        block += bytes((TOPIC_ALIAS_MAXIMUM,)) + protocol.alias_max.to_bytes(2, "big")
    if found["request_response_information"]:
        block += b"\x19\1"
    if not found["request_problem_information"]:
        block += b"\x17\0"
    if found["user_properties"]:
        block += encode_pairs(found["user_properties"])
    fields = client._connect_fields
    if found["assigns"]:
        fields = (b"", *fields[1:])
    expiry_s = -1 if found["session_expiry_s"] is None else found["session_expiry_s"]
    opening = Opening(protocol, fields, expiry_s, block)
    opening.receive_maximum = found["receive_maximum"] or 0
    if found["assigns"]:

        def named(name: bytes) -> None:
            client.__dict__["client_id"] = client._life.client_id = name.decode()

        named(b"")
        opening.on_assigned = named
    client._connector.follows = found["follow_server_reference"]
    if found["authentication"]:
        from ..authentication import Authentication, Exchange

        client._connector.exchange = Exchange(Authentication(*found["authentication"]), opening, client._life)
