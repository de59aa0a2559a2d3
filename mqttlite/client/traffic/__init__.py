"""What a client on CPython publishes and gets, beyond what a board does with it.

outgoing_host   accepted and not confirmed: bounded in bytes, counted, and who waits for room is woken
incoming_host   arrived and not given out: the same
waiting         what both wait for, without a turn of the event loop in between
many            publish_many: many messages, and one wait
ledgered        notes in a delivery ledger what happens to messages with keys
statistics      what the client has done until now

The first three are loaded with each client, the others when they are used; ledgered derives from outgoing_host and
incoming_host.
"""
