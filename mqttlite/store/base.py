"""What every store does. A store belongs to one client identifier and to one process at a time.

Use: `state = await store.open()`, then `record` for every change as it happens and `await commit()` before anything
leaves that tells of it. Both runtimes.
"""

from ..core import const
from ..core.errors import StoreError as StoreError

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..core.records import State


class Store:
    """A store. This one is the base of all and keeps nothing.

    is_durable  whether what is committed survives a power cut
    on_failure  set by the client: called when a store fails while nobody waits for it
    snapshot    set by the client: a callable that returns the whole State of now, for stores that compact
    """

    is_durable = False
    snapshot: "Callable[[], State]"
    on_failure: "Callable[[StoreError], None] | None" = None

    async def open(self) -> "State":
        """The state that was durable last; a new `State` when there was none. StoreError when that cannot be told."""
        from ..core.records import State  # a board without a store never loads it

        return State()

    def record(self, kind: int, number: int, head: bytes = b"", payload: bytes = b"", key: bytes = b"") -> None:
        """Take a record (records.py). It is durable when a `commit` that began later has returned."""

    async def commit(self) -> None:
        """Return when every record taken until now is durable. Shared by all who wait. StoreError: it is not, and
        nothing that depends on it may leave; the store cannot be used any more."""

    def fits(self, size: int) -> bool:
        """Whether a message of `size` bytes (topic and payload) can be accepted now. StoreError when it never can."""
        return True

    async def close(self) -> None:
        """Commit, and let go of file or partition."""
