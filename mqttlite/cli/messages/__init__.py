"""`mqttlite pub`, `sub` and `rr`: messages, as the tools of Mosquitto have them.

rr    a request and its answers        requester      does it
sub   prints what comes                subscriber     does it        output_format  -F
pub   publishes                        publisher      does it
connecting  options that say to whom and how to connect
properties  -D: properties of MQTT 5.0

Imports: downwards in this list; what does it, when it is done. The folder itself loads what a command needs in less
time: without TLS, unless it is spoken (OpenSSL is a tenth of what it takes to start), and without a look for garbage,
of which there is none.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def needs_tls(url: str) -> bool:
    """Whether it takes TLS to speak to what is at this URL."""
    return url.startswith(("mqtts://", "wss://"))


@contextmanager
def loading(url: str) -> Iterator[None]:
    """While the block imports the parts of a command that speaks to this URL. Where that takes no TLS, asyncio comes as
    on a Python that was built without `ssl`, unless it is there already; the module itself can be imported afterwards.
    """
    modules: dict[str, Any] = sys.modules
    without_tls = not needs_tls(url) and "asyncio" not in modules and "ssl" not in modules
    if without_tls:
        modules["ssl"] = None  # its import fails, which asyncio expects
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        if without_tls:
            del modules["ssl"]
