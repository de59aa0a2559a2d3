"""What an operator can do with queues and streams by name: the part of actions.py about engine.depot (queues/depot.py).
Imports audit; the broker for the type checker alone.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..audit import audit
from ..connections.turns import now_ms

if TYPE_CHECKING:
    from ..server import Broker

KINDS = ("queue", "stream")

_Arguments = dict[str, Any]


class NamedActions:
    """`actions`: by name, with their arguments, as Actions has them."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self.actions: dict[str, tuple[Callable[[_Arguments, str], Awaitable[Any]], dict[str, type]]] = {
            "queues": (self._queues, {}),
            "retry-dead": (self._retry_dead, {"name": str}),
            "drop-dead": (self._drop_dead, {"name": str}),
            "delete": (self._delete, {"kind": str, "name": str}),
        }

    async def _queues(self, arguments: _Arguments, by: str) -> list[dict[str, object]]:
        return self._broker.engine.depot.describe()

    async def _retry_dead(self, arguments: _Arguments, by: str) -> str:
        name = self._name(arguments)
        count = self._at_once().retry(name.encode())
        self._broker.changed()
        audit(by, f"queue {name!a}: {count} dead messages are tried again")
        return f"{count} messages of queue {name!a} are tried again"

    async def _drop_dead(self, arguments: _Arguments, by: str) -> str:
        name = self._name(arguments)
        count = self._at_once().drop_dead(name.encode())
        audit(by, f"queue {name!a}: {count} dead messages deleted")
        return f"{count} dead messages of queue {name!a} deleted"

    async def _delete(self, arguments: _Arguments, by: str) -> str:
        kind = arguments.get("kind", "")
        if kind not in KINDS:
            raise ValueError(f"delete: say what: {' or '.join(KINDS)}, and its name")
        name = arguments.get("name", "")
        if not self._at_once().delete(name.encode(), KINDS.index(kind)):
            raise ValueError(f"there is no {kind} {name!a}; `mqttlite ctl queues` lists them")
        self._broker.changed()
        audit(by, f"{kind} {name!a} deleted")
        return f"{kind} {name!a} is deleted, with all that was in it"

    def _at_once(self) -> Any:
        self._broker.engine.router.now = now_ms()
        return self._broker.engine.depot

    def _name(self, arguments: _Arguments) -> str:
        name: str = arguments.get("name", "")
        if name.encode() not in self._broker.engine.depot.queues:
            raise ValueError(f"there is no queue {name!a}; `mqttlite ctl queues` lists them")
        return name
