"""SUBSCRIBE and UNSUBSCRIBE for the application, which waits for the answer. Loaded with the first one: who only
publishes goes without. Both runtimes.
"""

from ..core import const
from ..core.features import HOST
from ..core.reason_codes import REFUSED
from ..core.text import check_plain, check_topic_filter, to_utf8

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from .life import Life


async def ask(life: "Life", topic_filter: str, qos: int, properties: bytes = b"") -> int:
    """SUBSCRIBE, or with QoS -1 UNSUBSCRIBE: the answer. For one topic filter, one request after the other. In 5.0,
    `qos` may be all of a subscription's options, and a block of properties goes with it.
    """
    name = to_utf8(topic_filter, "topic filter")
    check_topic_filter(name)
    check_plain(name)
    protocol = life.protocol
    while life.error is None:
        earlier = protocol.subscriptions.get(name)
        if earlier is None or not earlier.request:
            break
        await life.progress.wait()
    if life.error:
        raise life.error
    if HOST and protocol.limits and protocol.is_connected and qos >= 0:
        code = protocol.limits.unfit_filter(name, properties)
        if code:
            from ..core.telling import explained
            from .unconfirmed import refusal

            raise explained(refusal(topic_filter, code), code, b"", 0)
    asked = protocol.subscribe(name, qos, properties)
    life.to_write.set()
    while asked.request:
        if life.error:
            raise life.error
        await life.progress.wait()
    if life.store.is_durable:
        await life.commit()
    if asked.code >= REFUSED:
        from .unconfirmed import refusal

        if HOST:
            from ..core.telling import explained

            raise explained(refusal(topic_filter, asked.code, qos), asked.code, asked.packet, 2)
        raise refusal(topic_filter, asked.code, qos)
    return asked.code
