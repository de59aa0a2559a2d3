"""`mqttlite gateway --test-config`: all that a start would look at but ports, upstreams and what is in the store."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ...broker.config.doubts import doubts
from ..broker.check import Trial, count, summary
from ..streams import say

if TYPE_CHECKING:
    from mqttlite_gateway.config import Config


def check(read: "Callable[[], Config]", name: str) -> int:
    """Say all that is wrong, a line for each; the exit code. `name`: of the file, for what is said."""
    from mqttlite_gateway.config import ConfigError
    from mqttlite_gateway.inside.embedded import LISTEN, has_own_place, refuse_own, store_of

    trial = Trial()
    try:
        config = read()
    except ConfigError as error:
        trial.wrong += error.lines
        return trial.end(name, "gateway")
    access, listeners = trial.broker(config.broker) if config.is_bridge else (None, [])
    if not trial.wrong:
        try:
            refuse_own(config.upstreams, listeners)
        except ValueError as error:
            trial.wrong.append(str(error))
        from mqttlite_gateway.page.start import check as check_page

        try:
            check_page(config, access)
        except ValueError as error:
            trial.wrong.append(str(error))
    if trial.end(name, "gateway"):
        return 1
    from mqttlite_gateway.config.plain import plain_passwords

    for doubt in filter(None, (config.doubt, *plain_passwords(config))):
        say(f"doubtful: {doubt}")
    parts = [count(len(config.serial), "serial port")]
    if config.wanted:
        parts.append(count(len(config.wanted), "rule") + " for ports as they are plugged in")
    if config.buses:
        parts.append(f"{len(config.buses)} bus{'es' if len(config.buses) != 1 else ''}")
    if config.is_bridge:
        for doubt in doubts(config.broker, access):
            say(f"doubtful: {doubt}")
        inside = summary(replace(config.broker, store=str(store_of(config.broker) or "")), access, len(listeners))
        if not listeners and has_own_place(config.upstreams):
            inside = f"for this machine at {LISTEN}, if that is free, {inside.partition(', ')[2]}"
        parts += [count(len(config.upstreams), "upstream"), inside]
    print(f"{name} is in order: {config.mode} mode, {', '.join(parts)}")
    return 0
