"""Everything that a gateway is told, and what has to go together, whoever has said it: the file, the command line, a
program.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from mqttlite.broker.config.settings import Settings
from mqttlite.serial.ports import ports_there
from mqttlite.settings.found import Found, Key, label

from .broker import check_tls, check_url
from .bus_port import BusPort
from .errors import ConfigError
from .general import AUTO, BRIDGE, FORWARD, check_console
from .home_assistant import HomeSettings
from .mdns import MdnsSettings
from .page import PageSettings
from .port import PortRule, SerialPort, check_ports
from .status import check_every, check_topic
from .upstream import UpstreamSettings, lead_to

DEFAULT_UPSTREAM = "mqtt://localhost:1883"


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
    `provision`: settings for boards that wait for some (lines/provision.py), None for none.
    `mode`: FORWARD or BRIDGE; `upstreams`: where the bridge leads to. `broker`: what the broker inside is told, its
    store among it; the tables of broker.toml.
    `page`, `home_assistant`: the tables of these names, None where there is none; `mdns`: [mdns]; `buses`: [[bus]].
    `found`: the file that says it; `doubt`: who can read it that should not, in words.
    """

    serial: list[SerialPort] = field(default_factory=list)
    upstream: str = DEFAULT_UPSTREAM
    status_topic: str = ""
    status_every_s: float = 5.0
    console: str = AUTO
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
        if not self.serial and not self.wanted and not self.buses and not self.is_bridge:
            there = ports_there()
            example = there[0] if there else "/dev/ttyUSB0"
            has = f"; there is {', '.join(there)}" if there else "; and none is plugged in now"
            raise ConfigError(f"no serial port; give at least one with --serial {example}, or in the file{has}")
        check_ports([port.path for port in self.serial] + [bus.path for bus in self.buses])
        if not self.is_bridge:
            check_url(self.upstream)
            if self.tls:
                check_tls(self.tls, self.upstream)
        check_console(self.console)
        check_topic(self.status_topic)
        check_every(self.status_every_s)
