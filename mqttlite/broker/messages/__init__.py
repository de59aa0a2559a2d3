"""A message, from when it was taken to when it leaves.

extras     what it has besides topic, payload, QoS and RETAIN, as bytes beside it
heads      its first bytes, in the form of each version
batch      some that came together, as all who get them keep and are sent them
retained   the last one of each topic

Where it goes is decided in routing/, where it waits is in clients/queue.py.
"""
