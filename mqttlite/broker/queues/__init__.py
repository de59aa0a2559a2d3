"""What a broker keeps by a name, and not for a session: durable queues (`$queue/NAME/FILTER`), streams
(`$stream/NAME/FILTER`), messages for later (`$delayed/SECONDS/TOPIC`), and the numbers of producers by which a repeat
is recognised. `depot.Depot` is all of it, for the engine; docs/queues.md tells what is promised.

depot     what there is, by name                  named_queue   each message to one consumer
consumer  a client that reads one                 stream        a log that each reads from where it wants
delayed   what is published later

Their names are in topics/names.py, what an operator says of them in named_rules.py, and what routing must know of them
in routing/ (taker, means, repeats).
"""
