"""Names and addresses under which this machine can be reached, for its certificate."""

import contextlib
import fcntl
import ipaddress
import re
import socket
import struct
from pathlib import Path

_SIOCGIFADDR = 0x8915  # of Linux: the IPv4 address of an interface
_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")


def own_names() -> list[str]:
    """The host's name, with `.local` (mDNS) and as DNS has it, and localhost."""
    host = socket.gethostname().rstrip(".")
    found = [host, f"{host.partition('.')[0]}.local", socket.getfqdn(), "localhost"]
    return [name for name in dict.fromkeys(found) if is_name(name)]


def own_addresses() -> list[str]:
    """Addresses of this machine: first the one from which it reaches others, at the end those of itself alone."""
    found = _address_to_others() + _of_interfaces() + _of_interfaces_6() + ["127.0.0.1", "::1"]
    addresses = [ipaddress.ip_address(each) for each in dict.fromkeys(found)]
    usable = [each for each in addresses if not each.is_link_local and not each.is_unspecified]
    return [str(each) for each in sorted(usable, key=lambda each: each.is_loopback)]


def is_name(text: str) -> bool:
    """Whether it can be a host's name in a certificate."""
    return len(text) <= 253 and _NAME.fullmatch(text) is not None


def _address_to_others() -> list[str]:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.255", 9))  # nothing is sent; the kernel chooses the address
        return [probe.getsockname()[0]]
    return []


def _of_interfaces() -> list[str]:
    found = []
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):  # it has none
                data = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
                found.append(socket.inet_ntoa(data[20:24]))
    return found


def _of_interfaces_6() -> list[str]:
    with contextlib.suppress(OSError, ValueError):
        lines = Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines()
        return [str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))) for line in lines]
    return []
