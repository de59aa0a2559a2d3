"""Boards, as the page has them set up: a device of the broker for each, a board that is plugged in is flashed, what
boards run is replaced. What it takes lies in a folder that the file names ([page] boards).
"""

import asyncio
import json
import os
import re
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ..lines.ports import plugged
from ..running import Running
from .arguments import text, texts
from .jobs import Jobs
from .people import LoginError, Visitor

IMAGES = (".bin", ".uf2")
RELEASES = (".release",)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
SHOWN_MAX = 200  # files of a kind

_Found = dict[str, Any]


class Boards:
    """`looks`, `acts`: as Answers has them. `check`: LoginError unless this is the visitor's password."""

    def __init__(
        self,
        gateway: Running,
        jobs: Jobs,
        folder: str,
        check: Callable[[str, str, str], Awaitable[None]],
    ) -> None:
        self._gateway = gateway
        self._jobs = jobs
        self._folder = Path(folder) if folder else None
        self._check = check
        self.looks = {"/api/boards": self._boards}
        self.acts = {
            "/api/device": self._device,
            "/api/flash": self._flash,
            "/api/update": self._update,
            "/api/stop": self._stop,
        }

    async def _boards(self, arguments: _Found, visitor: Visitor) -> _Found:
        found: _Found = await asyncio.to_thread(self._files)
        found["ports"] = await self._ports()
        found |= {"devices": [], "no_devices": "", "templates": [], "needs_password": visitor.name is not None}
        if not visitor.may_act:
            found["no_devices"] = "only admins see devices"
            return found
        from ..radio.devices import list_devices

        try:
            found["devices"] = await list_devices(self._gateway)
            found["templates"] = list(self._gateway.config.broker.devices.templates)
        except (ValueError, OSError) as error:
            found["no_devices"] = str(error)
        return found

    def _files(self) -> _Found:
        """What the folder has."""
        found: _Found = {"folder": str(self._folder or ""), "images": [], "applications": [], "releases": [], "why": ""}
        if self._folder is None:
            found["why"] = 'name a folder with images, applications and releases: boards = "…" below [page]'
            return found
        try:
            for path in sorted(self._folder.iterdir()):
                if path.suffix in IMAGES and path.is_file():
                    found["images"].append(path.name)
                elif path.suffix in RELEASES and path.is_file():
                    found["releases"].append(path.name)
                elif (path / "app.py").is_file() or (path / "main.py").is_file():
                    found["applications"].append(path.name)
        except OSError as error:
            found["why"] = f"{self._folder} cannot be read: {error.strerror}"
        for kind in ("images", "applications", "releases"):
            del found[kind][SHOWN_MAX:]
        return found

    async def _device(self, arguments: _Found, visitor: Visitor) -> _Found:
        """Add a device, give it another password, or remove it."""
        from ..radio import devices

        name, do = text(arguments, "name"), text(arguments, "do")
        if do == "remove":
            return await devices.remove_device(self._gateway, name)
        if do == "add":
            found = await devices.add_device(self._gateway, name, **texts(arguments, "template", "url"))
        elif do == "renew":
            found = await devices.renew_device(self._gateway, name, **texts(arguments, "url"))
        else:
            raise ValueError("say what to do: add, renew or remove")
        found["code"] = qr_rows(found["qr"]) if found.get("qr") else None
        return found

    async def _flash(self, arguments: _Found, visitor: Visitor) -> _Found:
        """Put MicroPython, mqttlite and an application onto a board that is plugged in."""
        port, name = text(arguments, "port"), text(arguments, "name")
        image = self._file(arguments, "image", "images")
        if port not in [each["port"] for each in await self._ports()]:
            raise ValueError(f"there is no serial port {port[:80]!a}")  # nor a network port, which esptool would take
        words = ["flash", "--json", "--port", port, "--wait", "0", "--image", str(image)]
        if arguments.get("application"):
            words += ["--app", str(self._file(arguments, "application", "applications"))]
        if provision := (self._gateway.config.provision or {}).get("devices"):
            words += ["--devices", str(provision)]
        if not NAME.fullmatch(name):
            raise ValueError("a board's name has letters, digits, - _ and ., 32 at most")
        settings = text(arguments, "settings", "") or f'name = {json.dumps(name)}\nurl = "serial:usb"\n'
        job = self._jobs.start(
            f"flash {name} at {port}", port, words, visitor.text, _Flashing(words, settings, self._lent(port))
        )
        return {"job": job.number}

    async def _update(self, arguments: _Found, visitor: Visitor) -> _Found:
        """Replace what boards run, over MQTT."""
        if arguments.get("release"):
            release = self._file(arguments, "release", "releases")
        else:
            release = self._file(arguments, "application", "applications")
        names = arguments.get("devices")
        if not isinstance(names, list) or not names or not all(isinstance(each, str) and each for each in names):
            raise ValueError("say which devices: a list of their names")
        if wrong := [each for each in names if each.startswith("-") or not each.isprintable()]:
            raise ValueError(f"no device can be called {wrong[0][:80]!a}")  # to the command it would be an option
        words = ["update", "push", str(release), *names, "--broker", self._broker()]
        if provision := (self._gateway.config.provision or {}).get("devices"):
            words += ["--devices", str(provision)]
        environment = {}
        if visitor.name is not None:
            password = text(arguments, "password")
            try:
                await self._check(visitor.name, password, visitor.address)
            except LoginError as error:
                raise ValueError(str(error)) from None
            words += ["--username", visitor.name]
            environment["MQTTLITE_PASSWORD"] = password
        title = f"update {', '.join(names[:3])}{' …' if names[3:] else ''} with {release.name}"
        job = self._jobs.start(title, release.name, words, visitor.text, _nothing(), environment)
        return {"job": job.number}

    async def _stop(self, arguments: _Found, visitor: Visitor) -> _Found:
        number = arguments.get("job")
        if type(number) is not int:
            raise ValueError("say which: the number of the job")
        await self._jobs.stop(number, visitor.text)
        return {"words": "stopped"}

    def _file(self, arguments: _Found, key: str, kind: str) -> Path:
        """A file of the folder; nothing outside it can be named."""
        name = text(arguments, key)
        found = self._files()
        if self._folder is None or name not in found[kind]:
            raise ValueError(found["why"] or f"there is no {name[:80]!a} in {self._folder}")
        return self._folder / name

    def _broker(self) -> str:
        broker = self._gateway.broker
        if broker is None:
            url: str = self._gateway.config.upstream
            if "@" in url:
                raise ValueError("the broker upstream needs a password: use mqttlite update on the command line")
            return url
        for url in broker.addresses:
            if url.startswith("mqtt://"):
                return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        raise ValueError("the broker inside listens nowhere with mqtt://: use mqttlite update on the command line")

    async def _ports(self) -> list[dict[str, str]]:
        return await asyncio.to_thread(_ports, {line.config.path: line.device_id for line in self._lines()})

    def _lines(self) -> list[Any]:
        """Lines with a port of their own: no board on a bus is flashed."""
        return [line for line in self._gateway.lines if not hasattr(line, "bus")]

    @asynccontextmanager
    async def _lent(self, port: str) -> AsyncIterator[None]:
        """The gateway lets go of the port meanwhile."""
        line = next((line for line in self._lines() if line.config.path == port), None)
        if line is None:
            yield
        else:
            async with line.lent():
                yield


def _ports(served: dict[str, str]) -> list[dict[str, str]]:
    """Serial ports, those that the gateway serves first; `served`: the device at each of these."""
    real = {os.path.realpath(path) for path in served}
    others = [each.path for each in plugged() if os.path.realpath(each.path) not in real]
    return [{"port": path, "device": served.get(path, "")} for path in (*served, *others)]


class _Flashing:
    """While a board is flashed: its settings in a file of this user alone, and its port."""

    def __init__(self, words: list[str], settings: str, port: Any) -> None:
        self._words = words
        self._settings = settings
        self._port = port
        self._folder = tempfile.TemporaryDirectory(prefix="mqttlite-flash-")

    async def __aenter__(self) -> None:
        path = Path(self._folder.name, "board.toml")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: ASYNC230 # some hundred bytes
            file.write(self._settings)
        self._words += ["--settings", str(path)]
        await self._port.__aenter__()

    async def __aexit__(self, *error: Any) -> None:
        try:
            await self._port.__aexit__(*error)
        finally:
            self._folder.cleanup()


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield


def qr_rows(words: str) -> list[str]:
    """A QR code, a text of 0 and 1 for each row. ValueError: segno is missing."""
    try:
        import segno
    except ImportError:
        raise ValueError("a QR code needs segno: pip install segno (Debian: python3-segno)") from None
    return ["".join(str(int(cell)) for cell in row) for row in segno.make(words, error="m", micro=False).matrix]
