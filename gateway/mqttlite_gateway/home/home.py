"""The gateway's part that tells Home Assistant of its devices, for ever."""

import asyncio
import logging
import random
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from mqttlite.core.errors import MQTTError
from mqttlite.core.shown import shown

from ..running import Running
from . import ways
from .devices import Watched
from .payloads import ONLINE
from .plan import Plan

if TYPE_CHECKING:
    from ..settings.home_assistant import HomeSettings

log = logging.getLogger("mqttlite.gateway")

LOOK_S = 1.0  # for what has changed
AGAIN_S = 5.0  # after a connection that ended
_chance = random.Random()


async def tell_for_ever(gateway: Running) -> None:
    """Tell of all devices, as long as the settings want it; a connection that is lost is made anew."""
    said = ""
    while True:
        settings = gateway.config.home_assistant
        if settings is None:
            await asyncio.sleep(LOOK_S)
            continue
        try:
            await _tell(gateway, settings)
            said = ""
        except (MQTTError, OSError, TimeoutError) as error:
            text = shown(str(error) or "it does not answer", 300)
            if text != said:
                said = text
                log.warning("Home Assistant is not told of the devices: %s", said)
            await asyncio.sleep(AGAIN_S)


async def _tell(gateway: Running, settings: "HomeSettings") -> None:
    """Until the settings are others, or the connection is lost."""
    loop = asyncio.get_running_loop()
    plan = Plan(settings)
    watched = Watched(gateway)

    def hear(topic: str, payload: bytes) -> None:
        if topic != settings.birth_topic:
            plan.found(topic, payload)
        elif payload == ONLINE.encode():
            plan.birth(loop.time(), _chance.uniform(0, settings.birth_jitter_s))

    way_of: AbstractAsyncContextManager[ways.Way]
    if gateway.broker is not None:
        way_of = ways.inside(gateway.broker, settings, hear)
    else:
        way_of = ways.above(gateway.config, settings, hear)
    async with way_of as way:
        log.info("Home Assistant is told of the devices, below %s/device", settings.prefix)
        ended = asyncio.ensure_future(way.ended())
        try:
            while gateway.config.home_assistant == settings and not ended.done():
                for publication in plan.due(loop.time(), watched.look()):
                    if not await way.publish(*publication):
                        plan.failed(publication)
                await asyncio.wait([ended], timeout=LOOK_S)
        finally:
            ended.cancel()
