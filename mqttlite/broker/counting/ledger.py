"""One ledger of bytes: what the broker holds, by kind. Whoever lets something grow asks here first, or tells.

    kind         whose                 owner             limits                        who pays at the limit
    queued       a session's           queue.Queue       queue_bytes, queues_bytes     that session, by its rule
    received     a connection's        engine            packet_bytes, received_bytes  who has most is disconnected
    output       a connection's        engine            output_bytes                  who has most is disconnected
    identifiers  a session's, QoS 2    engine            inbound, identifiers_bytes    who sends more is disconnected
    filters      a client's            router            filters_bytes, all_...        its SUBSCRIBE is refused
    named        named queues'         queues/           their rules, named_bytes      as their rules say
    retained     the broker's          retained          retained_bytes                the publisher is refused
    routes       the broker's (cache)  router            routes_bytes                  they are forgotten
    rights       a connection's        rights            rights_bytes                  its own are forgotten
    the disk     the store's           store (`fits`)    store_bytes, the disk         publishers wait

Sizes are those of the data, with a lump for what Python needs around it; memory is a small multiple of them. What is
bounded by counts alone (connections, sessions) is in limits. Imports nothing.
"""

MESSAGE = 64  # for a message in a queue, beside its topic and payload
RETAINED_COST = 256  # for a retained message, beside its topic and payload
IDENTIFIER = 128  # for a QoS 2 identifier that is not released
NODE = 256  # for a level of a topic filter, or of the topic of a retained message
ROUTE = 1024  # for a cached topic
ROUTE_CLIENT = 160  # for each client in it


ACCOUNTS = ("filters", "identifiers", "named", "output", "queued", "received", "retained", "rights", "routes")


class Ledger:
    """All accounts, in bytes."""

    def __init__(self) -> None:
        self.queued = 0
        self.received = 0
        self.output = 0
        self.filters = 0
        self.identifiers = 0
        self.named = 0
        self.retained = 0
        self.routes = 0
        self.rights = 0

    def accounts(self) -> list[tuple[str, int]]:
        """Names and bytes."""
        return [(name, getattr(self, name)) for name in ACCOUNTS]

    @property
    def total(self) -> int:
        """Everything."""
        return sum(size for _, size in self.accounts())


def filter_cost(topic_filter: bytes) -> int:
    """What a topic filter of one client counts, whether it shares its levels with others or not."""
    return len(topic_filter) + NODE * (topic_filter.count(b"/") + 2)
