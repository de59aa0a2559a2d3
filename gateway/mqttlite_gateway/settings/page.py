"""[page]: where the gateway's web page is, and who may see it.

[page]
listen = "http://0.0.0.0:8080"     # https:// needs a certificate: here, or in bridge mode that of [tls]
certificate = "/etc/mqttlite/page.pem"
key_file = "/etc/mqttlite/page.key"
boards = "/var/lib/mqttlite/boards"  # images, applications and releases that the page can put onto boards
names = ["pi.example.net"]         # names that browsers reach it by, beside this machine's own and its addresses
admin_group = "admin"              # of [groups]: may look at everything, and change it
reader_group = "reader"            # of [groups]: may look at everything
"""

import ipaddress
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from urllib.parse import urlsplit

DEFAULT_LISTEN = "http://127.0.0.1:8080"
PORTS = {"http": 80, "https": 443}
NO_CERTIFICATE = "[page]: https:// needs a certificate: add certificate and key_file, paths of PEM files"

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


@dataclass
class PageSettings:
    """`listen`: http://HOST:PORT or https://; port 0: any that is free. `names`: of hosts, by which browsers may ask
    for it. `admin_group`, `reader_group`: groups of users, of those who may act and those who may look. `certificate`,
    `key_file`: PEM files, for https://. `boards`: a folder with what can be put onto boards.
    """

    listen: str = DEFAULT_LISTEN
    names: list[str] = field(default_factory=list)
    admin_group: str = "admin"
    reader_group: str = "reader"
    certificate: str = ""
    key_file: str = ""
    boards: str = ""

    def __post_init__(self) -> None:
        self.scheme, self.host, self.port = address_of(self.listen)
        for name in self.names:
            if not _NAME.fullmatch(name):
                raise ValueError(f"names: {name!a:.80} is no host name, such as pi.example.net; no http://, no port")

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host == "localhost" or (_is_address(self.host) and ipaddress.ip_address(self.host).is_loopback)


def address_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port; ValueError says what is expected."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
        raise ValueError(f"listen: {url!a:.80} is no address to listen on, such as {DEFAULT_LISTEN}")
    return parts.scheme, parts.hostname, PORTS[parts.scheme] if port is None else port


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


_TEXTS = ("listen", "admin_group", "reader_group", "certificate", "key_file", "boards")
KEYS = (*_TEXTS, "names")


def check(key: str, value: object) -> None:
    """ValueError where there is no such key in the table, or it cannot have this value."""
    if key in _TEXTS:
        if not isinstance(value, str) or not value:
            raise ValueError(f"{key} has to be a text in quotes, not {value!r:.60}")
    elif key == "names":
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise ValueError(f'names has to be a list of host names, as ["pi.example.net"], not {value!r:.60}')
    else:
        near = get_close_matches(key, KEYS, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(KEYS)}"
        raise ValueError(f"there is no key {key!r:.60}{hint}")
    PageSettings(**{key: value})  # type: ignore[arg-type]  # checked above
