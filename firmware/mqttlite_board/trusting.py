"""Whom a board trusts that speaks TLS: the certificate in its settings, the broker's own or its CA's. Both runtimes.

A board that starts does not know what time it is, and a certificate is not valid in the year 2000: the clock is set by
NTP before the first connection.
"""

import sys
from binascii import a2b_base64

from . import clock, timekeeping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def trusted(ca: str) -> "Any":
    """What Client takes as `tls`, of the setting `ca`."""
    certificate = a2b_base64(ca)
    if sys.implementation.name == "micropython":
        return certificate
    import ssl as of_cpython

    ssl: "Any" = of_cpython
    context = ssl.create_default_context(cadata=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the broker's own will do
    return context


def set_clock() -> None:
    """By NTP, where it is not set. Takes a second at most; without an answer the certificate is refused as not yet
    valid, where the firmware looks at dates, and timekeeping.py goes on asking.
    """
    if clock.begun() is None:
        ms = timekeeping.by_ntp()
        if ms is not None:
            clock.set_epoch(ms)


def name_for(settings: "dict[str, Any]", url: str) -> str:
    """The name that has to stand in the certificate of the broker at `url`, which may have an address in its place
    (sleeping.py).
    """
    urls = settings["url"] if isinstance(settings["url"], list) else [settings["url"]]
    names = [_host_of(each) for each in urls if each.startswith("mqtts:")]
    name = _host_of(url)
    return names[0] if names and name not in names else name


def _host_of(url: str) -> str:
    place = url[url.find("://") + 3 :].split("/")[0]
    return place[1:].split("]")[0] if place[:1] == "[" else place.split(":")[0]
