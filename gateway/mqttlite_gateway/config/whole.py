"""Everything that a gateway is told, and what has to go together."""

from dataclasses import dataclass, field, replace
from typing import Any

from mqttlite.broker.config.settings import Settings
from mqttlite.settings.found import Found, Key, label

from ..bridge.settings import UpstreamSettings
from ..home.settings import HomeSettings
from ..page.settings import PageSettings
from ..radio.settings import MdnsSettings
from .bus_port import BusPort
from .errors import ConfigError
from .port import PortRule, SerialPort

FORWARD = "forward"  # each device has a connection of its own to a broker elsewhere
BRIDGE = "bridge"  # the broker is inside, and passes on what it holds
DEFAULT_UPSTREAM = "mqtt://localhost:1883"
AUTO = "auto"


@dataclass
class Config:
    """Everything.

    `serial`: ports by their path; `wanted`: ports by what they are, as they are plugged in.
    `upstream`: in forward mode the URL of the broker, mqtt://, mqtts://, ws://, wss:// or unix://; user name and
    password in it are the gateway's own, for its status.
    `status_topic`: where the state of each line is published, "" for nowhere; every `status_every_s` seconds.
    `console`: path of the socket that `mqttlite console` looks for, "" for none, "auto" for a name of this process's in
    $XDG_RUNTIME_DIR/mqttlite, or /run/mqttlite.
    `tls`: in forward mode what mqttlite.Client takes about TLS, by the same names: ca, certificate, key_file,
    key_password, alpn, server_name, fingerprint, insecure.
    `provision`: settings for boards that wait for some (provision.py), None for none.
    `mode`: FORWARD or BRIDGE; `upstreams`: where the bridge leads to. `broker`: what the broker inside is told, its
    store among it; the tables of broker.toml.
    `page`, `home_assistant`: the tables of these names, None where there is none; `mdns`: [mdns]; `buses`: [[bus]].
    `found`: the file that says it; `doubt`: who can read it that should not, in words.
    """

    serial: list[SerialPort] = field(default_factory=list)
    upstream: str = DEFAULT_UPSTREAM
    status_topic: str = ""
    status_every_s: float = 5.0
    console: str = "auto"
    tls: dict[str, Any] = field(default_factory=dict)
    provision: dict[str, Any] | None = None
    mode: str = FORWARD
    wanted: list[PortRule] = field(default_factory=list)
    upstreams: list[UpstreamSettings] = field(default_factory=list)
    broker: Settings = field(default_factory=Settings)
    page: PageSettings | None = None
    mdns: MdnsSettings = field(default_factory=MdnsSettings)
    home_assistant: HomeSettings | None = None
    buses: list[BusPort] = field(default_factory=list)
    found: Found | None = field(default=None, compare=False, repr=False)
    doubt: str = field(default="", compare=False)

    @property
    def is_bridge(self) -> bool:
        """Whether there is a broker inside."""
        return self.mode == BRIDGE

    def lead_to(self, urls: list[str]) -> None:
        """The command line's --upstream, instead of what the file says. ConfigError: forward mode has one."""
        if self.is_bridge:
            from .upstream import lead_to

            self.upstreams = lead_to(urls)
        elif len(urls) > 1:
            raise ConfigError("--upstream is there twice: more than one needs --bridge")
        else:
            self.upstream = urls[0]

    def show_page(self, url: str) -> None:
        """The command line's --page, there instead of what the file says; "": where that says, or the default."""
        try:
            page = self.page or PageSettings()
            self.page = replace(page, listen=url) if url else page
        except ValueError as error:
            raise ConfigError(f"--page: {error}") from None

    def where(self, *at: Key) -> str:
        """How an error about this place of the file begins."""
        return self.found.where(*at) if self.found else label({}, at)

    def check(self) -> None:
        """Raise ConfigError for what cannot work."""
        from .together import check

        check(self)
