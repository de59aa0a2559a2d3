"""What a broker keeps by a name, and not for a session: durable queues (`$queue/NAME/FILTER`), streams
(`$stream/NAME/FILTER`), messages for later (`$delayed/SECONDS/TOPIC`), and the numbers of producers by which a repeat
is recognised. `depot.Depot` is all of it, for the engine; docs/queues.md tells what is promised.
"""
