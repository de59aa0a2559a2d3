"""Network connections: what carries bytes to the engine and away from it, once in each turn of the event loop.

connection   a transport at one end, a peer at the other        turns         what the engine leaves, done once in each
thin         plain TCP and Unix sockets, in a loop of poll      poll          a selector that reads them while it waits
broker_loop  asyncio's event loop with that selector
protocol     asyncio's transports, for all else                 doors         all that is listened on, and its exchange
asking       awaits who somebody is                             commit_gate   output waits for the commit it tells of
acceptor     lets in who comes, of each address one in turn

It decides nothing about MQTT. server.py is built on it.
"""
