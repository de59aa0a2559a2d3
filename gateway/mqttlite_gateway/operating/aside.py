"""What an operator can do about upstreams over the control socket: see how they are, and what they have refused."""

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from mqttlite.broker.audit import audit

from ..running import Running
from ..uplink import Uplink

if TYPE_CHECKING:
    from mqttlite.broker.operating.control import Control


_Arguments = dict[str, Any]


class AsideActions:
    """`mqttlite ctl upstreams`, `aside`, `retry-aside`, `drop-aside`."""

    def __init__(self, gateway: Running) -> None:
        self._gateway = gateway

    def add_to(self, control: "Control") -> None:
        """Answer to these requests there."""
        control.add("upstreams", self._upstreams, {})
        control.add("aside", self._aside, {"name": str})
        which: dict[str, type] = {"name": str, "seq": int, "all": bool}
        control.add("retry-aside", self._retry, which, changes=True)
        control.add("drop-aside", self._drop, which, changes=True)

    async def _upstreams(self, arguments: _Arguments, by: str) -> list[dict[str, Any]]:
        return [uplink.describe() for uplink in self._gateway.uplinks]

    async def _aside(self, arguments: _Arguments, by: str) -> list[dict[str, Any]]:
        return self._uplink(arguments).dead_letters()

    async def _retry(self, arguments: _Arguments, by: str) -> str:
        uplink = self._uplink(arguments)
        count = await self._each(uplink, arguments, uplink.retry)
        audit(by, f"upstream {uplink.name}: {count} messages that were set aside are tried again")
        return f"{count} messages are tried again"

    async def _drop(self, arguments: _Arguments, by: str) -> str:
        uplink = self._uplink(arguments)
        count = await self._each(uplink, arguments, uplink.drop)
        audit(by, f"upstream {uplink.name}: {count} messages that were set aside are dropped")
        return f"{count} messages are dropped"

    async def _each(self, uplink: Uplink, arguments: _Arguments, do: Callable[[int], "Awaitable[None] | None"]) -> int:
        if not arguments.get("all") and "seq" not in arguments:
            raise ValueError("say which message, by the number that `mqttlite ctl aside` gives, or --all")
        numbers = [each["id"] for each in uplink.dead_letters()] if arguments.get("all") else [arguments["seq"]]
        for number in numbers:
            found = do(number)
            if inspect.isawaitable(found):
                await found
        return len(numbers)

    def _uplink(self, arguments: _Arguments) -> Uplink:
        name = arguments.get("name", "")
        for uplink in self._gateway.uplinks:
            if uplink.name == name:
                return uplink
        there = ", ".join(uplink.name for uplink in self._gateway.uplinks) or "none"
        raise ValueError(f"there is no upstream {name!a}; there are: {there}")
