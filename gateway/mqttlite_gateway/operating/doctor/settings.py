"""The settings: whether they can be read, what is wrong with them, whether they are a secret."""

import os
from collections.abc import Iterator

from mqttlite.broker.config.doubts import doubts
from mqttlite.broker.config.make_access import make_access

from ...config import exposed, load
from ...config.plain import plain_passwords
from ...settings.errors import ConfigError
from .finding import DOUBTFUL, LEFT_OUT, OK, WRONG, Case, Finding

STEP = "settings"


def look(case: Case) -> Iterator[Finding]:
    """Every mistake is a finding."""
    path = case.path
    if not path.exists() and (os.access(path.parent, os.X_OK) or not path.parent.exists()):
        todo = "install the gateway as a service: sudo mqttlite gateway --install, or the Debian package"
        yield Finding(STEP, LEFT_OUT, f"there is no {path}", todo)
        return
    if not os.access(path, os.R_OK):
        yield Finding(STEP, LEFT_OUT, f"this user may not read {path}", "sudo mqttlite doctor")
        return
    try:
        config = load(path)
        config.check()
        warning = exposed(path, config)
    except ConfigError as error:
        for line in error.lines:
            yield Finding(STEP, WRONG, line, f"mend it, then: sudo mqttlite gateway --config {path} --test-config")
        return
    case.config = config
    found = list(plain_passwords(config))
    if config.is_bridge:
        try:
            found += doubts(config.broker, make_access(config.broker))
        except ValueError as error:  # of a file that it names
            check = f"sudo mqttlite gateway --config {path} --test-config"
            for line in getattr(error, "lines", [str(error)]):
                if os.geteuid():  # it may be none of this user's affair
                    yield Finding(STEP, LEFT_OUT, line, check)
                else:
                    yield Finding(STEP, WRONG, line, f"mend it, then: {check}")
            return
    if warning:
        yield Finding(STEP, DOUBTFUL, warning, f"sudo chmod 600 {path}")
    for each in found:
        yield Finding(STEP, DOUBTFUL, each)
    if not warning and not found:
        yield Finding(STEP, OK, f"{path} is in order: {config.mode} mode", values={"mode": config.mode})
