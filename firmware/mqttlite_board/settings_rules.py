"""What each setting of a board may be. Both runtimes; settings.py loads it to check a record, and forgets it again.

No message holds a value that may be a secret, nor one that stands where a secret may have been meant.
"""

import json
from binascii import a2b_base64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

NAME_MAX = 32  # bytes, on a serial line
YEAR_S = 366 * 86400

_TEXT = "a text"
_NUMBER = "a whole number"
_TABLE = "a table"

# The kind of each key. `counter` and `trial` are the board's own (rotation.py).
KINDS = {
    "name": _TEXT,
    "url": "a text, or a list of two",
    "wifi": _TABLE,
    "username": _TEXT,
    "password": _TEXT,
    "topic": _TEXT,
    "store": _TEXT,
    "key": _TEXT,
    "ca": _TEXT,
    "watchdog_s": _NUMBER,
    "led": "the number or name of a pin",
    "sleep_s": "a number",
    "time": _TEXT,
    "app": _TABLE,
    "counter": _NUMBER,
    "trial": _TABLE,
}
WIFI_KINDS = {"name": _TEXT, "password": _TEXT, "address": "a list of four: address, mask, gateway, name server"}
TRIAL_KEYS = ("username", "password", "key", "wifi", "id", "state", "tries", "failed")
_OPTIONAL = ("username", "password", "led")  # may be null, which is as if they were not there
_TIMES = ("", "gateway", "ntp")
_LINE_OPTIONS = ("tx", "rx", "baud", "frame_size", "window", "address", "de", "turnaround_ms")


def check(values: "Any", error: "Callable[[str], Exception]") -> None:
    """Raise an `error` that names what is wrong with the record."""
    if not isinstance(values, dict):
        raise error("the settings are no table of keys and values")
    known(values, KINDS, "", error)
    for key in ("name", "url"):
        if key not in values:
            raise error(key + " is missing")
    for key, value in values.items():
        if value is None and key in _OPTIONAL:
            continue
        if not _is_kind(value, KINDS[key]):
            raise error("%s: must be %s" % (key, KINDS[key]))
    _check_name(values["name"], error)
    urls = values["url"] if isinstance(values["url"], list) else [values["url"]]
    if not 1 <= len(urls) <= 2:
        raise error("url: must be a text, or a list of two")
    for url in urls:
        _check_url(url, error)
        _check_trust(url, values, error)
    _check_wifi(values.get("wifi", {}), error)
    _check_topic(values.get("topic", "boards"), error)
    _check_rest(values, error)
    if "trial" in values:
        known(values["trial"], TRIAL_KEYS, "trial.", error)


def known(values: "Any", keys: "Any", before: str, error: "Callable[[str], Exception]") -> None:
    """Raise an `error` for a key that is none of `keys`, with the one that is probably meant."""
    for key in values:
        if key not in keys:
            best = min(keys, key=lambda other: distance(str(key), other))
            meant = "; is '%s%s' meant?" % (before, best) if distance(str(key), best) < 4 else ""
            raise error("%s%s: there is no such setting%s" % (before, key, meant))


def distance(one: str, other: str) -> int:
    """How many signs have to be added, taken away or changed for `one` to be `other`."""
    row = list(range(len(other) + 1))
    for i, sign in enumerate(one):
        last = row
        row = [i + 1]
        for j, wanted in enumerate(other):
            row.append(min(last[j] + (sign != wanted), last[j + 1] + 1, row[j] + 1))
    return row[-1]


def _is_kind(value: "Any", kind: str) -> bool:
    if isinstance(value, bool):
        return False
    if kind == _TEXT:
        return isinstance(value, str)
    if kind == _NUMBER:
        return isinstance(value, int)
    if kind == _TABLE:
        return isinstance(value, dict)
    if kind == KINDS["url"]:
        return isinstance(value, str) or (isinstance(value, list) and all(isinstance(url, str) for url in value))
    if kind == KINDS["led"]:
        return isinstance(value, (int, str))
    if kind == KINDS["sleep_s"]:
        return isinstance(value, (int, float))
    return isinstance(value, list) and len(value) == 4 and all(_is_address(part) for part in value)


def _is_address(text: "Any") -> bool:
    parts = text.split(".") if isinstance(text, str) else []
    return len(parts) == 4 and all(part.isdigit() and int(part) < 256 for part in parts)


def _has_control(text: str) -> bool:
    return any(sign < " " or sign == "\x7f" for sign in text)


def _check_name(name: str, error: "Callable[[str], Exception]") -> None:
    if not name:
        raise error("name is empty: a board needs a name of its own")
    if len(name.encode()) > NAME_MAX:
        raise error("name: has more than %d bytes" % NAME_MAX)
    if name != name.strip() or _has_control(name) or any(sign in name for sign in "+#/"):
        raise error("name '%s': holds a blank at its end, or a sign that no topic level may have (+ # /)" % name)


def _check_topic(topic: str, error: "Callable[[str], Exception]") -> None:
    if not topic or _has_control(topic) or "+" in topic or "#" in topic or topic[0] in "$/" or topic[-1] == "/":
        raise error("topic '%s': must be levels such as boards/pump-7, without + and #" % topic)


def _check_url(url: str, error: "Callable[[str], Exception]") -> None:
    if "@" in url:  # it may hold a password
        raise error("url: user name and password do not belong here; they are `username` and `password`")
    if " " in url or _has_control(url):
        raise error("url '%s': holds a blank" % url)
    if url[: url.find("//") + 2] in ("mqtt://", "mqtts://"):
        place = url[url.find("//") + 2 :].rstrip("/")
        if place.startswith("discover/"):  # and the name of one broker
            place = "discover"
        host, _, port = _cut(place, ":") if "[" not in url else (place, "", "")
        if not host or "/" in host or "?" in host or (host == "discover" and port):
            raise error("url '%s': must be as mqtt://192.168.1.10:1883, or mqtts://discover" % url)
        if port and not (port.isdigit() and 0 < int(port) < 65536):
            raise error("url '%s': the port must be a number from 1 to 65535" % url)
        return
    if url == "serial:usb":
        return
    if not url.startswith("serial://") or url[9:10] in ("", "?"):
        raise error("url '%s': must be mqtt://host:1883, mqtts://…, serial:usb or serial://UART?tx=…&rx=…" % url)
    place, _, query = _cut(url[9:], "?")
    if place[0] != "/" and not place.isdigit():
        raise error("url '%s': the UART must be a number, as in serial://2?tx=17&rx=16" % url)
    for pair in query.split("&") if query else ():
        key, _, value = _cut(pair, "=")
        if key not in _LINE_OPTIONS or not value.isdigit():
            raise error("url '%s': %s must be one of %s, and a number" % (url, key, ", ".join(_LINE_OPTIONS)))


def _check_trust(url: str, values: "dict[str, Any]", error: "Callable[[str], Exception]") -> None:
    """Whoever is in the network can say that it is the broker: a password is for the one with the right certificate."""
    if url.startswith("mqtts:") and not values.get("ca"):
        raise error("ca is missing: mqtts:// needs the certificate of the broker or of its CA, in base64")
    if url.startswith("mqtt://discover") and values.get("password"):
        raise error("url '%s': the password would go to whoever answers; use mqtts://discover and `ca`" % url)
    if values.get("sleep_s") and "://discover" in url:
        raise error("url '%s': a board that sleeps has no time to look for its broker; name its host" % url)


def _cut(text: str, mark: str) -> "tuple[str, str, str]":
    at = text.find(mark)
    return (text, "", "") if at < 0 else (text[:at], mark, text[at + len(mark) :])


def _check_wifi(wifi: "dict[str, Any]", error: "Callable[[str], Exception]") -> None:
    known(wifi, WIFI_KINDS, "wifi.", error)
    for key, value in wifi.items():
        if not _is_kind(value, WIFI_KINDS[key]):
            raise error("wifi.%s: must be %s" % (key, WIFI_KINDS[key]))
    if len(wifi.get("name", "").encode()) > 32:
        raise error("wifi.name: has more than 32 bytes, which no network has")
    size = len(wifi.get("password", "").encode())
    if size and not 8 <= size <= 64:
        raise error("wifi.password: has %d bytes; one of WPA has 8 to 63, and an open network none" % size)
    if not wifi.get("name") and len(wifi) > ("name" in wifi):
        raise error("wifi.name is missing")


def _check_rest(values: "dict[str, Any]", error: "Callable[[str], Exception]") -> None:
    ca = values.get("ca", "")
    try:
        is_certificate = not ca or a2b_base64(ca)[:1] == b"0"  # of DER, which begins with a sequence
    except ValueError:
        is_certificate = False
    if not is_certificate:
        raise error("ca: must be a certificate in DER, in base64: openssl x509 -in ca.pem -outform der | base64 -w0")
    key = values.get("key", "")
    try:
        whole = len(key) in (0, 64) and int(key or "0", 16) >= 0
    except ValueError:
        whole = False
    if not whole:
        raise error("key: must be 64 hexadecimal digits (mqttlite board new makes one)")
    if values.get("password") and not values.get("username"):
        raise error("username is missing: a password needs one")
    for name, most in (("watchdog_s", 86400), ("sleep_s", YEAR_S), ("counter", 1 << 62)):
        if not 0 <= values.get(name, 0) <= most:
            raise error("%s = %s: must be 0 to %d" % (name, values[name], most))
    if values.get("time", "") not in _TIMES:
        raise error("time '%s': must be gateway, ntp or empty" % values["time"])
    store = values.get("store", "")
    if store == "ring:" or _has_control(store):
        raise error("store '%s': must be the name of a file, ring:LABEL of a partition, or empty" % store)
    try:
        json.dumps(values.get("app", {}))
    except (TypeError, ValueError):
        raise error("app: must hold texts, numbers, true and false, lists and tables alone") from None
