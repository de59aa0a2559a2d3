"""Whether others can read what only the gateway should know."""

import os
import stat
from pathlib import Path
from typing import Any

from mqttlite.client.url import Url

from ..settings.errors import ConfigError
from ..settings.whole import Config


def exposed(path: Path, config: Config) -> str:
    """Words about a file with a password in it that its group may read without need, "" when all is well. ConfigError:
    everybody on this machine may read it, so it is no secret, and the gateway does not start with it.
    """
    try:
        if not has_secret(config):
            return ""
        found = path.stat()
    except (OSError, ValueError):
        return ""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")  # systemd gives out a copy that is nobody else's
    if credentials and path.resolve().is_relative_to(credentials):
        return ""
    mode = stat.S_IMODE(found.st_mode)
    is_services = found.st_uid == 0 and found.st_gid != 0  # root's, for a service that reads it as its group
    if mode & stat.S_IROTH:
        raise ConfigError(
            f"{path} contains a password, and everybody on this machine can read it (mode {mode:o}): "
            f"chmod {640 if is_services else 600} {path}"
        )
    if is_services or not mode & stat.S_IRGRP or found.st_uid != os.geteuid():
        return ""
    return f"{path} contains a password, and its group on this machine can read it (mode {mode:o}): chmod 600 {path}"


def has_secret(config: Config) -> bool:
    """Whether it holds a password. ValueError: a URL is none."""
    if Url(config.upstream).password is not None or _of_boards(config.provision):
        return True
    if config.tls.get("key_password"):  # of forward mode; the broker's own reader says it of its tables
        return True
    return any(each.password or _in_url(each.url) or each.tls.get("key_password") for each in config.upstreams)


def _in_url(url: str) -> bool:
    return ":" in url.partition("://")[2].partition("/")[0].rpartition("@")[0]


def _of_boards(provision: dict[str, Any] | None) -> bool:
    return bool(provision and (provision.get("password") or provision.get("wifi", {}).get("password")))
