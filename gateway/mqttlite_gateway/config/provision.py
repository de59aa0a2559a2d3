"""[provision]: settings for boards that wait for some on one of the ports (lines/provision.py)."""

from mqttlite.settings.found import Found

from ..settings.whole import Config

KEYS = ("provision",)


def read(found: Found, config: Config) -> None:
    """Take the table over."""
    if "provision" not in found.data:
        return
    with found.gathering("provision"):
        from ..lines.provision import check_provision  # only who has such a table loads it

        table = found.table("provision")
        try:
            check_provision(table)
        except ValueError as error:
            raise found.mistake(("provision", str(error).partition(":")[0]), error) from None
        config.provision = table
