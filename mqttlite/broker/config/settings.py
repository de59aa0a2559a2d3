"""What a broker is told, by its file and by its command line."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...core.errors import MQTTError
from ...settings.found import Found, Key, Mistakes, label
from ..access.device_file import BUILT_IN, Template
from ..access.rule import Rule
from ..limits import Limits, QueueRule
from ..listening.listener import Listener
from ..named_rules import NamedRule
from .listeners import make_listeners

DEVICE_FILE = "devices.toml"  # beside the file of users


@dataclass
class Devices:
    """What new devices are given. `file`, `url`, `ca`: "" where nothing is said."""

    file: str = ""
    url: str = ""
    ca: str = ""
    templates: Mapping[str, Template] = field(default_factory=lambda: BUILT_IN)


@dataclass
class Settings:
    """What a broker needs to be told. `limits`: values by the name of a field of Limits. `found`: the file that says
    it, for what turns out to be wrong when all of it is put together.
    """

    listen: list[str] = field(default_factory=list)
    store: str | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    queues: list[QueueRule] = field(default_factory=list)
    server_reference: str = ""
    tls: dict[str, Any] = field(default_factory=dict)
    origins: list[str] = field(default_factory=list)
    listeners: list[dict[str, Any]] = field(default_factory=list)
    metrics: str = ""  # HOST:PORT; none
    control: str | None = ""  # path of its Unix socket; "": where `mqttlite ctl` looks for it, None: there is none
    log: str = ""  # one of log_forms.FORMS; "": as it fits
    access: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, frozenset[str]] = field(default_factory=dict)
    rules: list[Rule] | None = None
    devices: Devices = field(default_factory=Devices)
    ledger: dict[str, Any] | None = None  # what Ledger takes, by its names; None: there is none
    named: list[NamedRule] = field(default_factory=list)
    found: Found | None = field(default=None, compare=False, repr=False)

    def where(self, *at: Key) -> str:
        """How an error about this place of the file begins."""
        return self.found.where(*at) if self.found else label({}, at)

    @contextmanager
    def naming(self, *at: Key) -> Iterator[None]:
        """An error of the block says which place of the file it is about. `at`: a key, and where it stands."""
        try:
            yield
        except Mistakes:  # of another file, each with its place
            raise
        except (MQTTError, OSError, ValueError) as error:
            is_told = self.found is not None and self.found.line(*at) > 0
            raise ValueError(f"{self.where(*at)}{at[-1]}: {error}" if is_told else str(error)) from error

    def place_of(self, listener: int) -> tuple[Key, ...]:
        """Where the file says that it listens there. `listener`: its number among those of make_listeners."""
        return ("listener", listener - len(self.listen), "url") if listener >= len(self.listen) else ("listen",)

    @property
    def device_file(self) -> Path | None:
        """Who is a device; None: there is no file of users, and so none of devices."""
        if self.devices.file:
            return Path(self.devices.file)
        users = self.access.get("password_file")
        return Path(users).with_name(DEVICE_FILE) if users else None

    def make_listeners(self) -> list[Listener]:
        """What to listen on. ValueError for what does not go together."""
        return make_listeners(self.listen, self.listeners, self.tls, self.origins, self.where)

    def make_limits(self) -> Limits:
        """Limits with these values."""
        return Limits(**self.limits, queues=tuple(self.queues), named=tuple(self.named))
