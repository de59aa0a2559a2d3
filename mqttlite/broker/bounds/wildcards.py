"""What matching may cost. Imports limits.

A topic name goes down a tree of topic filters, and at each level two ways: by its name, and by `+`. So 2 ** 15 filters
of 15 levels each match the same topic name, and a PUBLISH cost 60 ms. Filters with up to two `+` cannot do that: of n
levels, they are n * (n + 1) / 2 ways. Those with more are counted, of each client and of all.
"""

from ..limits import Limits

FEW = 2  # `+` in a topic filter that does not count
EACH = 16  # filters that a client may have when all together have too many


def counts(topic_filter: bytes) -> bool:
    """Whether a topic filter counts."""
    return topic_filter.count(b"+") > FEW


def lacks_room(had: int, of_all: int, limits: Limits) -> str:
    """The name of the limit that forbids a client with `had` one more filter that counts, or ""."""
    if had >= limits.wildcards:
        return "wildcards"
    return "all_wildcards" if of_all >= limits.all_wildcards and had >= EACH else ""
