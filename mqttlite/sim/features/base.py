"""What the programs of a feature's world know of it; run.py builds and runs it."""

import asyncio
from typing import Any

from ...client import Client
from ..check.ledger import FOREVER, Publisher
from ..process import Process
from ..small.steps import Steps
from ..timeline import SECOND
from .feature import Actor, Feature

KEEP_ALIVE_S = 5
TIMEOUT_S = 3


class FeatureScene(Steps):
    """`begun_at`: when the script has begun (ns)."""

    def __init__(self, feature: Feature, seed: int) -> None:
        super().__init__(seed)
        self.feature = feature
        self.publisher = Publisher("producer", "broker", "auto" if feature.keys else "none")
        self.begun_at = FOREVER

    @property
    def script_s(self) -> float:
        """How far the script is; below 0: it has not begun."""
        return (self.world.now - self.begun_at) / SECOND if self.begun_at < FOREVER else -1.0

    async def until(self, at_s: float) -> None:
        """Wait for a time of the script; 0: for nothing, so that it can begin."""
        while at_s and self.begun_at == FOREVER:  # noqa: ASYNC110 - there is no event for several loops
            await asyncio.sleep(0.1)
        left_s = at_s - self.script_s
        if at_s and left_s > 0:
            await asyncio.sleep(left_s)

    def client(self, process: Process, actor: Actor | None = None, version: str = "5.0", **options: Any) -> Client:
        """A client of a process."""
        if actor and version == "5.0":
            options |= {"session_expiry_s": actor.expiry_s} if actor.expiry_s >= 0 else {}
            options |= {"receive_maximum": actor.window} if actor.window else {}
        if self.feature.banned:
            options["username"] = process.name
        client = Client(
            "mqtt://broker",
            version=version,
            client_id=process.name,
            clean_session=False,
            retry_first=True,
            keep_alive_s=KEEP_ALIVE_S,
            timeout_s=TIMEOUT_S,
            **options,
        )
        return self.watched(client)

    def leaves(self, process: Process, actor: Actor) -> None:
        """A span is over: how it ends."""
        if actor.leaves:
            self.died(process)
            (process.kill if actor.leaves == "kill" else process.cut_power)()
