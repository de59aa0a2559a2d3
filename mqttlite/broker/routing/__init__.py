"""From a message to those who get it.

router         a message comes: to its route, into sessions     delivery       to one after the other, with options
route          who gets what is published to a topic name       backpressure   who has to wait for whom
subscribing    subscriptions, and the routes that follow        shares         shared subscriptions
run_router     messages that came together, in one step         retaining      what is retained, kept and sent
rights         who may receive, kept with a route               repeats        what a producer has sent before
taker, means   what takes messages beside clients (queues/)     witnessed      the same, with a delivery ledger

Imports clients/ and what is below it.
"""
