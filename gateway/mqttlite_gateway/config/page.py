"""[page]: the web page (settings/page.py has its keys)."""

from mqttlite.settings.found import Found

from ..settings.page import PageSettings, check
from ..settings.whole import Config

KEYS = ("page",)


def read(found: Found, config: Config) -> None:
    """Take the table over."""
    if "page" not in found.data:
        return
    with found.gathering("page"):
        values = {}
        for key, value in found.table("page").items():
            with found.gathering("page", key):
                try:
                    check(key, value)
                except ValueError as error:
                    raise found.mistake(("page", key), error) from None
                values[key] = value
        config.page = PageSettings(**values)
