"""Packets as they come, one by one and in runs, and what they are answered with.

parsing         the core's parser, quicker for servers        publish4, publish5   PUBLISH of either version
long_requests   SUBSCRIBE and UNSUBSCRIBE of any length       answers              acknowledgements in runs
farewell        the reason code for each rule that can be broken
reason_strings  the words with an answer that refuses (5.0)
unsent          what never left when a connection is gone

Imports limits and bounds/. Who calls them is clients/peer.py.
"""
