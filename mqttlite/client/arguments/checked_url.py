"""URLs as people write them, checked: what `Url` on a board takes as it comes gets an error here that says what to do.
CPython only. No error shows a password.
"""

import re
import socket

from ..url import Url

SCHEMES = ("mqtt", "mqtts", "ws", "wss", "unix", "serial")
NETWORK = ("mqtt", "mqtts", "ws", "wss")  # with a host
SERIAL_OPTIONS = ("baud", "frame_size", "window", "boot", "rtscts", "address", "turnaround_ms")

_ELSEWHERE = {  # schemes of other programs, and what to do
    "ssl": "write mqtts:// instead",
    "tls": "write mqtts:// instead",
    "mqtt+ssl": "write mqtts:// instead",
    "http": "MQTT over WebSockets is ws://",
    "https": "MQTT over WebSockets and TLS is wss://",
    "tcp": "write mqtt:// instead",
}


def checked_url(text: object, schemes: tuple[str, ...] = SCHEMES) -> Url:
    """The parts of a URL with one of `schemes`. TypeError or ValueError says what is wrong with it."""
    if not isinstance(text, str):
        raise TypeError(f"url must be str, as in 'mqtt://localhost:1883', not {text!r:.60} ({type(text).__name__})")
    shown = without_password(text)
    shown = shown if len(shown) < 300 else shown[:300] + "…"
    scheme, found, rest = text.partition("://")
    _check_signs(text, shown, is_address=scheme.lower() in (*NETWORK, *_ELSEWHERE))
    if not found or not scheme:
        is_host = "mqtt" in schemes and re.fullmatch("[A-Za-z0-9._-]+(:[0-9]{1,5})?", text)
        raise ValueError(
            f"not a URL: '{shown}'; write {f'mqtt://{text}' if is_host else 'for example mqtt://localhost:1883'}"
        )
    if scheme not in schemes:
        if scheme in SCHEMES:
            words = "does not go here"
        elif scheme.lower() in SCHEMES:
            words = "is written in lower case"
        else:
            words = _ELSEWHERE.get(scheme.lower(), "")
            words = f"is not supported: {words}" if words else "is not a known scheme"
        raise ValueError(f"'{scheme}' {words}; use {' or '.join(name + '://' for name in schemes)}")
    if scheme in NETWORK:
        _check_address(rest, shown, is_web=scheme in ("ws", "wss"))
    elif "@" in rest.partition("/")[0]:
        raise ValueError(f"{scheme}:// takes no user name and password: '{shown}'")
    url = Url(text)
    if scheme == "unix":
        _check_unix(url, shown)
    elif scheme == "serial":
        _check_serial(url, rest, shown)
    return url


def without_password(text: str) -> str:
    """`text` as it may be shown: with *** for what may be a password, in a URL or what was meant to be one."""
    at = text.rfind("@")
    if at < 0:  # a port that is no number may be a password whose host was forgotten
        return re.sub(r"(://[^:/@\[]*:)(?![0-9]*([/?]|$))[^/?]*", r"\1***", text)
    begin = text.find("://")
    begin = begin + 3 if 0 <= begin < at else 0
    user, colon, _ = text[begin:at].partition(":")
    return text[:begin] + user + (colon and ":***") + text[at:]


def _check_signs(text: str, shown: str, is_address: bool) -> None:
    """No signs that nobody sees, and no blanks but inside a path."""
    if "\ufeff" in text:
        raise ValueError(f"a byte order mark (U+FEFF) is in the URL {shown!a}; remove it: it is not visible")
    for place, sign in enumerate(text):
        outer = place in (0, len(text) - 1)
        if (sign.isspace() and (is_address or outer or sign != " ")) or not (sign.isprintable() or sign == " "):
            what = "a blank" if sign.isspace() else f"U+{ord(sign):04X}"
            quoted = "".join(f"%{byte:02X}" for byte in sign.encode(errors="ignore"))  # a surrogate has no bytes
            instead = quoted and f" (in a password, write it as {quoted})"
            raise ValueError(f"{what} is in the URL {shown!a}; remove it{instead}")


def _check_address(rest: str, shown: str, is_web: bool) -> None:
    """`rest`: what follows mqtt://. `is_web`: it may have a path and a query, which are a web server's."""
    before, at, after = rest.rpartition("@")
    if at and ("/" in before or "?" in before):
        raise ValueError(f"a / or ? in a user name or password is written %2F or %3F: '{shown}'")
    if at and before[:1] in ("", ":"):
        raise ValueError(f"the user name is missing in '{shown}': a password needs one")
    address, slash, path = after.partition("/")
    address, question, query = address.partition("?")
    if is_web:
        if "#" in rest or not (path.isascii() and query.isascii()):
            raise ValueError(f"'#' and letters beyond ASCII have no place in '{shown}'; in a path they are written %XX")
    elif path.strip("/") or (slash and "?" in path):
        raise ValueError(f"a path or topic, '/{path}', does not belong into the URL '{shown}'; a broker has none")
    if question and not is_web:
        raise ValueError(f"unknown option '{query.partition('=')[0]}' in '{shown}': an mqtt:// URL has none")
    if address[:1] == "[":
        host, closed, port = address[1:].partition("]")
        try:
            socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
        except (OSError, ValueError):
            closed = ""
        if not closed or port[:1] not in ("", ":"):
            raise ValueError(f"'{address}' is no IPv6 address and port, as in [::1]:1883")
        port = port[1:]
    else:
        host, _, port = address.partition(":")
        if ":" in port:
            raise ValueError(f"an IPv6 address stands in brackets, as in mqtt://[::1]:1883: '{shown}'")
        _check_host(host, shown)
    # What stands where the port should may be a password whose host was forgotten: it is not shown.
    if address[len(address) - len(port) - 1 :][:1] == ":" and not re.fullmatch("[0-9]+", port):
        raise ValueError(f"the port behind '{host}' is not a number from 1 to 65535")
    if port and (len(port.lstrip("0")) > 5 or not 0 < int(port) < 65536):
        raise ValueError(f"the port behind '{host}' is not between 1 and 65535: {port:.20}")


def _check_host(host: str, shown: str) -> None:
    if not host:
        raise ValueError(f"the host is missing in '{shown}', as in mqtt://localhost:1883")
    for sign in host:
        if not (sign.isalnum() or sign in "-._" or ord(sign) > 127):
            raise ValueError(f"'{host}' is no host name: it contains '{sign}'")
    try:
        host.encode("idna")
        if re.fullmatch("[0-9.]+", host):
            socket.inet_aton(host)
    except UnicodeError:
        raise ValueError(f"'{host}' is no possible host name: one of its parts is empty or too long") from None
    except OSError:
        raise ValueError(f"'{host}' is no IPv4 address: four numbers from 0 to 255") from None


def _check_unix(url: Url, shown: str) -> None:
    if url.host:
        raise ValueError(f"a third slash is missing in '{shown}', as in unix:///run/broker.sock")
    if url.path in ("", "/"):
        raise ValueError(f"the path of the socket is missing in '{shown}', as in unix:///run/broker.sock")
    if url.query:
        raise ValueError(f"unknown option '{next(iter(url.query))}' in '{shown}': a unix:// URL has none")
    if len(url.path.encode()) > 107:  # sun_path of Linux, with its end
        raise ValueError(f"the path of a socket has 107 bytes at most: '{shown}'")


def _check_serial(url: Url, rest: str, shown: str) -> None:
    if url.host:
        raise ValueError(
            f"'{shown}' names a UART of a board; on this machine a serial line has a path, as in serial:///dev/ttyUSB0"
        )
    if url.path in ("", "/"):
        raise ValueError(f"the path of the serial line is missing in '{shown}', as in serial:///dev/ttyUSB0")
    keys = [pair.partition("=")[0] for pair in rest.partition("?")[2].split("&")] if "?" in rest else []
    for key in keys:
        if key not in SERIAL_OPTIONS:
            raise ValueError(f"unknown option '{key}' of a serial line; there are {', '.join(SERIAL_OPTIONS)}")
        if keys.count(key) > 1:
            raise ValueError(f"option '{key}' is there twice in '{shown}'")
        if not re.fullmatch("[0-9]+", url.query[key]):
            raise ValueError(f"{key}={url.query[key]} is not a number in '{shown}'")
