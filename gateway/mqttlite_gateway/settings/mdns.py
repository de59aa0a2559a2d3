"""[mdns]: whether broker and page are announced in the network, and how they are called there.

[mdns]
name = "Hall 3"                    # the instance; this machine's name, if nothing is said
announce = true                    # false: nothing is announced
interfaces = ["192.168.1.10"]      # addresses of this machine; all, if nothing is said
"""

import ipaddress
import socket
from dataclasses import dataclass, field

NAME_MAX = 63 - len(" (99)")  # bytes: of a label, with room for a number


@dataclass
class MdnsSettings:
    """`name`: "": this machine's. ValueError for what cannot be."""

    name: str = ""
    announce: bool = True
    interfaces: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.name:
            check_name(self.name)
        for each in self.interfaces:
            try:
                ipaddress.ip_address(each)
            except ValueError:
                raise ValueError(f"interfaces: {each!r:.60} is no address of this machine, as 192.168.1.10") from None

    @property
    def instance(self) -> str:
        """What it is called."""
        return self.name or socket.gethostname().partition(".")[0] or "mqttlite"


def check_name(name: str) -> str:
    """The name of an instance. ValueError for what cannot be one."""
    if not name or name != name.strip() or not name.isprintable() or "." in name:
        raise ValueError(f"name: {name!r:.80} is empty, has a dot, a blank at its end, or a sign that cannot be seen")
    if len(name.encode()) > NAME_MAX:
        raise ValueError(f"name: {name!r:.80} has more than {NAME_MAX} bytes")
    return name
