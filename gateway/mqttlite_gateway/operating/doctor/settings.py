"""The settings: whether they can be read, what is wrong with them, whether they are a secret."""

import os
from collections.abc import Iterator

from ...config import ConfigError, exposed, load
from ...config.plain import plain_passwords
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
    plain = list(plain_passwords(config))
    if warning:
        yield Finding(STEP, DOUBTFUL, warning, f"sudo chmod 600 {path}")
    for each in plain:
        yield Finding(STEP, DOUBTFUL, each, "docs/tls.md says how")
    if not warning and not plain:
        yield Finding(STEP, OK, f"{path} is in order: {config.mode} mode", values={"mode": config.mode})
