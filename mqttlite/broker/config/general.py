"""Keys above the first table: listen, store, server_reference."""

from ...settings.found import Found
from .settings import Settings

KEYS = ("listen", "store", "server_reference")


def read(found: Found, settings: Settings) -> None:
    """Take them over."""
    data = found.data
    with found.gathering():
        listen = data.get("listen", [])
        is_list = isinstance(listen, list) and all(isinstance(url, str) for url in listen)
        if not is_list or ("listen" in data and not listen):
            example = '["mqtt://127.0.0.1:1883"]'
            raise found.mistake(("listen",), f"listen has to be a list of URLs, as {example}, not {listen!r:.60}")
        settings.listen = listen
    with found.gathering():
        store = data.get("store")
        if store is not None and (not isinstance(store, str) or not store):
            raise found.mistake(("store",), f"store has to be the path of a file, in quotes, not {store!r:.60}")
        settings.store = store
    with found.gathering():
        server = data.get("server_reference", "")
        if not isinstance(server, str):
            text = f"server_reference has to be HOST:PORT, in quotes, not {server!r:.60}"
            raise found.mistake(("server_reference",), text)
        settings.server_reference = server
