"""Bridge mode: the broker that is inside the gateway.

embedded    the broker, from the tables of broker.toml      wired    who a device on a serial line is
joined      a line's connections, in process                said     the gateway's own messages
left        queues of upstreams that there are no more
"""
