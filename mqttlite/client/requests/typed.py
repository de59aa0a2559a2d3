"""Payloads as objects of the application's own types: dataclasses, pydantic's models, what JSON has. Host only; imports
none of those libraries.
"""

import dataclasses
import json
from collections.abc import Callable
from typing import Any


def to_payload(value: object) -> bytes | str:
    """A payload: bytes and text as they are, None as an empty one, everything else as JSON: a dataclass, whatever has
    `model_dump_json` (pydantic), lists, dictionaries, numbers. TypeError for what JSON does not have.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if value is None:
        return b""
    dump = getattr(value, "model_dump_json", None)
    if dump and not isinstance(value, type):
        return str(dump())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"a payload is bytes, str, a dataclass, a pydantic model or what JSON has, not {value!r:.60}: {error}"
        ) from None


def from_payload(payload: bytes, into: Callable[..., Any]) -> Any:
    """What `into` makes of a payload: a dataclass gets the members of a JSON object, pydantic's model validates it; str
    is UTF-8, dict and list are JSON; whatever else is called with the bytes. ValueError when the payload is none.
    """
    validate = getattr(into, "model_validate_json", None)
    if validate:
        return validate(payload)  # whose ValidationError is a ValueError
    if into is bytes:
        return payload
    if into is str:
        return payload.decode()
    if into in (dict, list) or dataclasses.is_dataclass(into):
        value: Any = json.loads(payload)
        wanted: Any = list if into is list else dict
        if not isinstance(value, wanted):
            raise ValueError(f"JSON of a {wanted.__name__} was expected, not {payload[:60]!r}")
        if into is wanted:
            return value
        members: dict[str, Any] = value
        try:
            return into(**members)
        except TypeError as error:  # a member that is missing, or unknown
            raise ValueError(str(error)) from None
    return into(payload)
