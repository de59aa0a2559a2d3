"""Adds, renews and removes devices: each has a user of its own at the broker, a password that nobody chooses, rights by
a template, and settings for the board. For `mqttlite device` and for the page.

What a broker knows of a device stands in two files: users (the password, as argon2id) and devices (that it is one, and
by which template). The second is written first and taken back last: a device without a password cannot connect, one
without rights could connect and be told nothing. Adding it again completes what a power cut has left.
"""

import asyncio
import datetime
import secrets
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from mqttlite.broker.access import device_file, users_file
from mqttlite.broker.access.device_file import DEFAULT, DeviceEntry, read_devices
from mqttlite.broker.config.make_access import make_access
from mqttlite.broker.config.settings import Settings
from mqttlite.core.shown import shown
from mqttlite.settings.toml_file import toml_text
from mqttlite_board.settings import SettingError, check

from ..running import Running

_Found = TypeVar("_Found")

SERIAL = "serial:usb"
PASSWORD_BYTES = 15  # of chance: 20 signs
_MINE = ("0.0.0.0", "[::]", "")  # a listener at all addresses
_LOCAL = ("127.0.0.1", "[::1]", "localhost")
_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True)
class NewDevice:
    """What has come of it. `settings`: the record for the board, with the password, which stands nowhere else; None:
    nothing is new. `words`: what there is to say.
    """

    name: str
    template: str
    is_new: bool
    settings: dict[str, Any] | None = field(default=None, repr=False)
    words: tuple[str, ...] = ()

    @property
    def qr(self) -> str:
        """What the QR code says, for a phone or a program: the URL with user name and password; "": there is none."""
        if not self.settings or self.settings["url"] == SERIAL:
            return ""
        scheme, _, place = self.settings["url"].partition("://")
        user, password = (quote(self.settings[key], safe="") for key in ("username", "password"))
        return f"{scheme}://{user}:{password}@{place}"

    @property
    def toml(self) -> str:
        """The settings as a board.toml."""
        return toml_text(self.settings) if self.settings else ""

    def public(self) -> dict[str, Any]:
        """For the page."""
        return {
            "name": self.name,
            "template": self.template,
            "is_new": self.is_new,
            "settings": self.toml,
            "qr": self.qr,
            "words": list(self.words),
        }


def add(
    settings: Settings,
    name: str,
    *,
    template: str = DEFAULT,
    url: str = "",
    wifi: dict[str, str] | None = None,
    key: str = "",
) -> NewDevice:
    """Add a device; one that is there already stays as it is. `url`: as it reaches the broker, instead of what the
    settings say; `key`: signs its updates. ValueError says what cannot be, and then nothing has changed; OSError.
    """
    users, devices = _files(settings)
    _check_name(name)
    templates = settings.devices.templates
    if template not in templates:
        raise ValueError(f"there is no template {template!r:.60}; there are {', '.join(templates)}")
    known = read_devices(devices).get(name)
    is_user = name in users_file.names(users)
    if is_user and known is None:
        raise ValueError(f"there is a user {name!a}, who is no device: choose another name (mqttlite passwd has users)")
    if is_user and known is not None and known.template == template:
        words = f"{name} is there already, by template {template}; its password stands nowhere: renew gives it another"
        return NewDevice(name, template, False, None, (words,))
    record = _record(settings, name, template, url, wifi, key)
    entry = DeviceEntry(name, template, known.added if known else datetime.date.today().isoformat())
    device_file.put_device(devices, entry, users)
    if is_user:
        return NewDevice(name, template, False, None, (f"{name} has the rights of template {template} now",))
    users_file.set_password(users, name, record["password"].encode())
    words = f"{name} is added, by template {template}"
    return NewDevice(name, template, True, record, (words, *_doubts(settings, name)))


def renew(
    settings: Settings, name: str, *, url: str = "", wifi: dict[str, str] | None = None, key: str = ""
) -> NewDevice:
    """Another password for a device: who is connected with the old one is not any more. ValueError, OSError."""
    users, devices = _files(settings)
    known = _known(devices, name)
    record = _record(settings, name, known.template, url, wifi, key)
    users_file.set_password(users, name, record["password"].encode())
    words = f"{name} has another password: the board gets it with its settings (mqttlite board setup --again)"
    return NewDevice(name, known.template, False, record, (words,))


def remove(settings: Settings, name: str) -> str:
    """A device is none any more; in words. ValueError: there is none of that name."""
    users, devices = _files(settings)
    is_user = name in users_file.names(users)
    _known(devices, name)
    if is_user:
        users_file.delete(users, name)
    device_file.remove_device(devices, name)
    return f"{name} is no device any more"


def listed(settings: Settings) -> list[DeviceEntry]:
    """All devices, by name. ValueError: the file is broken, or there can be none."""
    return sorted(read_devices(_files(settings)[1]).values(), key=lambda each: each.name)


def write_qr(text: str, path: Path) -> None:
    """A QR code as SVG or PNG, by the path's end, for its owner alone. ValueError: neither, or segno is missing."""
    from mqttlite.broker.access.secret_files import write_secret

    if path.suffix.lower() not in (".svg", ".png"):
        raise ValueError(f"{path}: a QR code is written as .svg or .png")
    import io

    file = io.BytesIO()
    _qr(text).save(file, kind=path.suffix[1:].lower(), scale=6, border=4, light="white")
    write_secret(path, file.getvalue())


def terminal_qr(text: str, is_dark: bool = True) -> str:
    """A QR code as lines of text. `is_dark`: the terminal shows light signs on a dark ground. ValueError: no segno."""
    import io

    out = io.StringIO()
    rows = [bytearray(row) for row in _qr(text).matrix_iter(border=2)]
    for upper, lower in zip(rows[::2], [*rows[1::2], bytearray(len(rows[0]))], strict=False):
        signs = (" ▄▀█"[2 * (bool(a) != is_dark) + (bool(b) != is_dark)] for a, b in zip(upper, lower, strict=True))
        out.write("".join(signs) + "\n")
    return out.getvalue()


def _qr(text: str) -> Any:
    try:
        import segno
    except ImportError:
        raise ValueError("a QR code needs segno: pip install segno (Debian: python3-segno)") from None
    return segno.make(text, error="m", micro=False)


# -- for the page, while a gateway runs


async def add_device(gateway: Running, name: str, **options: Any) -> dict[str, Any]:
    """As `add`, for the broker inside, which knows the device when this returns."""
    return (await _changed(gateway, lambda settings: add(settings, name, **options))).public()


async def renew_device(gateway: Running, name: str, **options: Any) -> dict[str, Any]:
    """As `renew`."""
    return (await _changed(gateway, lambda settings: renew(settings, name, **options))).public()


async def remove_device(gateway: Running, name: str) -> dict[str, Any]:
    """As `remove`; its session ends, with all that is queued for it."""
    words = await _changed(gateway, lambda settings: remove(settings, name))
    broker = gateway.broker
    client = broker.engine.sessions.get(name.encode()) if broker else None
    if broker and client is not None:
        from mqttlite.broker.connections.turns import now_ms
        from mqttlite.broker.operating.actions import ADMINISTRATIVE_ACTION

        broker.engine.remove(client, "the device is removed", ADMINISTRATIVE_ACTION, now_ms())
        broker.changed()
    return {"name": name, "words": [words]}


async def list_devices(gateway: Running) -> list[dict[str, Any]]:
    """Name, template, day, and whether it is connected."""
    broker = gateway.broker
    found = await asyncio.to_thread(listed, gateway.config.broker)
    sessions = broker.engine.sessions if broker else {}
    there = {name.decode() for name, client in list(sessions.items()) if client.peer is not None}
    return [
        {"name": each.name, "template": each.template, "added": each.added, "connected": each.name in there}
        for each in found
    ]


async def _changed(gateway: Running, change: Callable[[Settings], _Found]) -> _Found:
    settings = gateway.config.broker
    found = await asyncio.to_thread(change, settings)
    if gateway.broker is not None:
        gateway.broker.set_access(await asyncio.to_thread(make_access, settings))
    return found


# -- what a record is made of


def _files(settings: Settings) -> tuple[Path, Path]:
    users, devices = settings.access.get("password_file"), settings.device_file
    if not users or devices is None:
        raise ValueError(
            "this broker has no users, so no device can be one: add [access] and below it "
            'password_file = "/etc/mqttlite/users" (mqttlite broker init makes a whole folder)'
        )
    return Path(users).resolve(), devices.resolve()


def _known(devices: Path, name: str) -> DeviceEntry:
    known = read_devices(devices)
    if name not in known:
        there = ", ".join(shown(each) for each in sorted(known)[:9]) or "none"
        raise ValueError(f"there is no device {name!a}; there is {there}")
    return known[name]


def _check_name(name: str) -> None:
    try:
        check({"name": name, "url": SERIAL})
    except SettingError as error:
        raise ValueError(str(error)) from None
    if "%" in name or "$" in name[:1]:
        raise ValueError(f"name {name!a}: holds a sign that means something else in topics (%, $)")


def _record(
    settings: Settings, name: str, template: str, url: str, wifi: dict[str, str] | None, key: str
) -> dict[str, Any]:
    url = url or settings.devices.url or url_of(settings)
    record: dict[str, Any] = {
        "name": name,
        "url": url,
        "username": name,
        "password": secrets.token_urlsafe(PASSWORD_BYTES),
        "topic": settings.devices.templates[template].topic.replace("%u", name),
    }
    if url.startswith("mqtts:"):
        record["ca"] = ca_of(settings)
    if key:
        record["key"] = key
    if wifi:
        record["wifi"] = wifi
    check(record)
    return record


def url_of(settings: Settings) -> str:
    """As devices reach the broker: its first listener for others, with TLS if it has one. ValueError: it has none."""
    found = [each.url for each in settings.make_listeners()]
    for scheme in ("mqtts", "mqtt"):
        for url in found:
            host, _, port = url.partition("://")[2].rpartition(":")
            if url.startswith(f"{scheme}://") and host not in _LOCAL:
                host = f"{socket.gethostname().partition('.')[0]}.local" if host in _MINE else host
                return f"{scheme}://{host}" + (f":{port}" if port != str(_PORTS[scheme]) else "")
    raise ValueError(
        'no listener of this broker is for other machines: listen = ["mqtts://0.0.0.0:8883"], or say how the device '
        f"reaches it, with --url or [devices] url ({SERIAL}: over a gateway's line)"
    )


def ca_of(settings: Settings) -> str:
    """The certificate by which a device knows the broker, as base64 of DER. ValueError: there is none."""
    path = settings.devices.ca or settings.tls.get("certificate", "")
    path = path or next((each["certificate"] for each in settings.listeners if each.get("certificate")), "")
    if not path:
        raise ValueError('a device knows the broker by its CA: say which, with [devices] ca = "/etc/mqttlite/ca.pem"')
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    try:
        text = Path(path).read_text(encoding="ascii")
        last = begin + text.rpartition(begin)[2].partition(end)[0] + end
        return _base64(ssl.PEM_cert_to_DER_cert(last))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: no certificate (PEM) can be read there: {error}") from None


def _base64(data: bytes) -> str:
    from base64 import b64encode

    return b64encode(data).decode()


def _doubts(settings: Settings, name: str) -> list[str]:
    """What the operator may not have thought of."""
    access = make_access(settings)
    if access is not None and access.rules is None:
        return [f"there is no [[rule]], so {name} may publish and subscribe to everything"]
    return []
