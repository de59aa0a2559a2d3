"""Where messages go from here: what the gateway asks of each upstream of the bridge and of each sink."""

from collections.abc import Awaitable
from typing import Any, Protocol


class Uplink(Protocol):
    """One of them. `name`: of its table. Started after the broker inside, and stopped before it."""

    name: str

    def prepare(self) -> None:
        """Make its queue in the broker inside, before anybody can publish there."""

    async def start(self) -> None:
        """From now on; returns at once, whether it can be reached or not."""

    async def stop(self) -> None:
        """In good order, within a second or two: what is not acknowledged stays in the queue."""

    def describe(self) -> dict[str, Any]:
        """Its state, as plain data: name, kind, url (without secrets), connected, since_s (for how long), problem,
        queued, queued_bytes, oldest_s, in_doubt, drained_a_second, sent, acknowledged, refused, expired, dropped,
        received, set_aside.
        """

    def dead_letters(self) -> list[dict[str, Any]]:
        """What it would not take, set aside."""

    def retry(self, id: int) -> Awaitable[None] | None:
        """Try a dead letter again."""

    def drop(self, id: int) -> Awaitable[None] | None:
        """Throw a dead letter away."""
