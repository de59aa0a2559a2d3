"""The command {"do": "settings"}: the record, of secrets only whether there are any. Both runtimes."""

from . import settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


async def obey(program: "Any", command: "dict[str, Any]") -> "dict[str, object]":
    """The command: see commands.py."""
    return {"settings": settings.public(settings.read(program.start.SETTINGS))}
