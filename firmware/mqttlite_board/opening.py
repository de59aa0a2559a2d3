"""What the program begins with: the application and the store that the settings name. Loaded once, and forgotten.

Both runtimes.
"""

from mqttlite import SettingError

from .api import Application

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def application(settings: "dict[str, Any]", is_safe: bool) -> Application:
    """The application that app.py makes; in safe mode, and where there is none, one that measures nothing."""
    if is_safe:
        print("safe mode: the application is not started; commands, updates and settings are obeyed")
        return Application()
    try:
        import app
    except ImportError as error:
        if "'app'" not in str(error):  # something that it imports
            raise
        print("there is no app.py on this board: nothing is measured")
        return Application()
    try:
        found = app.application(settings["app"])
    except ValueError as error:  # no restart mends that
        raise SettingError("app.py: " + str(error)) from None
    if not isinstance(found, Application):
        raise TypeError("application() in app.py must return an Application")
    return found


def store(name: str) -> "Any":
    """The journal on the partition that ring:LABEL names."""
    from esp32 import Partition

    from mqttlite import Journal, RawArea

    found = Partition.find(Partition.TYPE_DATA, label=name[5:])
    if not found:
        raise SettingError("store '%s': this board has no data partition of that label" % name)
    return Journal(RawArea(found[0]))
