"""`mqttlite gateway`: devices on serial lines to a broker.

gateway    the command, and how it is configured
check      --test-config, which looks at the broker inside as broker/ does
operating  instead of running: it becomes a service, is copied, goes to another machine

Imports: downwards in this list, broker/ and serving/.
"""
