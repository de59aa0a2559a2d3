"""Other limits while the broker runs: what has been worked out from the old ones is worked out again. Imports sessions
and what is below; engine.py calls it.

All parts of a broker share one Limits, which takes the values of the new one. Nothing is taken away at once: whoever
has more than a new limit keeps it, and gets no more; a queue that is too long drops nothing, and takes nothing. A
connection keeps the sizes with which it was opened (packet_bytes, parked_bytes, write_buffer_bytes), because
its client was told some of them.
"""

from ..limits import Limits
from .sessions import Sessions


def take(engine: Sessions, limits: Limits) -> None:
    """These hold from now on."""
    engine.limits.become(limits)
    for client in engine.sessions.values():
        client.take_limits(limits)
        if client.peer is None:
            engine._expires(client)
    engine.router.take_limits(limits)
    engine._entrance.take_limits()
    engine._takeovers.take_limits(limits)
    engine._logins.take_limits()
    engine.publish_rate.take_limits()
    engine.depot.set_limits(engine.limits)
