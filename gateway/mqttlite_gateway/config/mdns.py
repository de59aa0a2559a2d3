"""[mdns]: announcing the broker in the local network (settings/mdns.py has its keys)."""

from mqttlite.settings.found import Found

from ..settings.mdns import MdnsSettings
from ..settings.whole import Config
from .values import values_of

KEYS = ("mdns",)


def read(found: Found, config: Config) -> None:
    """Take the table over."""
    if "mdns" in found.data:
        with found.gathering("mdns"):
            found.table("mdns")
            values = values_of(found, ("mdns",), MdnsSettings, examples={"name": '"Hall 3"'})
            if not all(isinstance(each, str) for each in values.get("interfaces", [])):
                raise found.mistake(("mdns", "interfaces"), 'interfaces must be a list of texts, as ["192.168.1.10"]')
            try:
                config.mdns = MdnsSettings(**values)
            except ValueError as error:
                raise found.mistake(("mdns", str(error).partition(":")[0]), error) from None
