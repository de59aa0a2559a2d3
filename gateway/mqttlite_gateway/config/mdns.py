"""[mdns]: announcing the broker in the local network (radio/settings.py has its keys)."""

from mqttlite.settings.found import Found

from ..radio.settings import MdnsSettings
from .values import values_of
from .whole import Config

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
