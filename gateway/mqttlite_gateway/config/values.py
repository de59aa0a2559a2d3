"""Values of a table, by the types of a dataclass's fields: what fits is handed back, what does not is a mistake with
its place and an example of what is meant.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from mqttlite.settings.found import Found, Key, check_name
from mqttlite.settings.numbers import whole

from ..settings.errors import ConfigError

_WANTED = {
    str: "a text in quotes, as in {}",
    int: "a whole number, as in {}",
    float: "a number, as in {}",
    bool: "true or false, as in {}",
    list: "a list, as in {}",
    dict: "a table, as in {}",
}
_EXAMPLES: dict[type, str] = {str: '"{}"', list: "[]", dict: "{{}}"}
_TYPES = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
}


def values_of(
    found: Found,
    at: tuple[Key, ...],
    kind: type,
    *,
    but: Iterable[str] = (),
    others: Iterable[str] = (),
    examples: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What the table at this place says of the fields of `kind`, a dataclass: what is wrong is kept for `finish`, and
    left out. `but`: fields that are no keys; `others`: keys that are no fields, for the caller to read. A field of int
    whose name ends in _bytes takes sizes as "1 GiB". `examples`: what is shown, by name, where it is not the default.
    """
    table: Any = found.data
    for key in at:
        table = table[key]
    known = {each.name: each for each in fields(kind) if each.name not in but}
    taken = {}
    for name, value in table.items():
        with found.gathering(*at, name):
            try:
                check_name(name, [*known, *others])
            except ValueError as error:
                raise found.mistake((*at, name), error) from None
            if name in known:
                kind_of = _kind(known[name])
                example = (examples or {}).get(name) or _example(known[name], kind_of or str)
                taken[name] = fitting(found, (*at, name), kind_of, value, example) if kind_of else value
    return taken


def top_value(found: Found, name: str, kind: type, default: Any, check: Callable[[Any], object], example: str) -> Any:
    """The value of a key above the first table, `default` without it. `check` raises ConfigError for one that cannot
    be; the mistake says where it is.
    """
    if name not in found.data:
        return default
    value = fitting(found, (name,), kind, found.data[name], example)
    try:
        check(value)
    except ConfigError as error:
        raise found.mistake((name,), error) from None
    return value


def fitting(found: Found, at: tuple[Key, ...], kind: type, value: Any, example: str) -> Any:
    """`value`, where it is of this type; a field of int whose name ends in _bytes takes sizes as "1 GiB"."""
    name = at[-1]
    if kind is int and str(name).endswith("_bytes") and (size := whole(value, True)) is not None:
        return size
    fits = isinstance(value, int | float) and not isinstance(value, bool) if kind is float else type(value) is kind
    if fits:
        return value
    # What it is, is not shown: it may be meant to be a secret.
    wanted, is_ = _WANTED[kind].format(f"{name} = {example}"), _TYPES.get(type(value), "something else")
    raise found.mistake(at, f"{name} must be {wanted}, and is {is_}")


def _kind(of: "Field[Any]") -> type | None:
    """The type that a value for this field has; None: the reader of its table looks at it."""
    return next((each for each in _WANTED if of.type in (each, each.__name__)), None)


def _example(of: "Field[Any]", kind: type) -> str:
    default = "" if of.default is MISSING else of.default
    return _EXAMPLES.get(kind, "{}").format(str(default).lower() if kind is bool else default)
