"""Rules of access that change while messages are queued, and the broker is killed: who was there under which rules, and
that nothing is sent to the consumer that it may not receive by then.

The consumer is let in by a hook that takes its time. Nobody without a user name has a right.
"""

import asyncio
from collections.abc import Awaitable, Callable

from ...broker import Access, Arriving, Broker, Hooks, Identity, Rule, Rules
from ..net.packets import Packet
from ..timeline import SECOND
from .feature import SECRET, Feature

ASKING_S = 0.01
UNDER_WAY = SECOND // 2  # what was written, and waits for a commit or for its turn, is on its way
TOPIC = f"t/{SECRET}"


class ChangingRules:
    """`script_s`: how far the script is; `until`: waits for a time of it; `now`: of the world (ns)."""

    def __init__(
        self,
        feature: Feature,
        script_s: Callable[[], float],
        until: Callable[[float], Awaitable[None]],
        now: Callable[[], int],
    ) -> None:
        assert feature.banned
        self._begin_s, self._end_s = feature.banned
        secrets = [said.name for said in feature.says if said.level == SECRET]
        self._void = {f"message {name}" for name in secrets[:-1]}  # all but the one that is said when all is allowed
        self._script_s = script_s
        self._until = until
        self._now = now
        self._banned_at: int | None = None  # ns; since when the broker has known that
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def _is_banned(self) -> bool:
        return self._begin_s <= self._script_s() < self._end_s

    def access(self) -> Access:
        """As it is at this time."""
        rules = [Rule("#", user=user) for user in ("producer", "consumer")]
        if self._is_banned:
            rules.append(Rule(TOPIC, allow=False, user="consumer"))
        return Access(rules=Rules(rules), hooks=Hooks(authenticate=_asked))

    def served(self, broker: Broker) -> None:
        """A life of the broker begins: it is told when the rules change."""
        self._banned_at = self._now() if self._is_banned else None
        task = asyncio.get_running_loop().create_task(self._change(broker))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _change(self, broker: Broker) -> None:
        for at_s in (self._begin_s, self._end_s):
            if self._script_s() < at_s:
                await self._until(at_s)
                broker.set_access(self.access())
                self._banned_at = self._now() if self._is_banned else None

    def problem(self, packet: Packet, client: str) -> str:
        """What is wrong with a PUBLISH on its way to `client`, in words."""
        if client != "consumer" or packet.kind != "PUBLISH" or packet.is_up or self._banned_at is None:
            return ""
        topic = packet.body[2 : 2 + int.from_bytes(packet.body[:2], "big")].decode()
        if topic != TOPIC or self._now() - self._banned_at < UNDER_WAY:
            return ""
        return f"not allowed: {topic} was sent to who may not receive it"

    def may_be_lost(self, name: str) -> bool:
        """Whether the consumer may not have been allowed to receive this message."""
        return name in self._void


async def _asked(arriving: Arriving) -> Identity | None:
    await asyncio.sleep(ASKING_S)
    return Identity(arriving.username) if arriving.username else None
