"""Topic names and topic filters, and what is found by them.

names          `$queue/`, `$stream/`, `$delayed/`: topics that say more than where something goes
subscriptions  the subscription tree: whom a topic name goes to
topic_tree     values by topic name, found by topic filter

Imports nothing of the broker.
"""
