"""All sessions: who comes with CONNECT, and what becomes of its session when it goes.

sessions    CONNECT, resuming, taking over, expiring      admission    asks who may connect
welcome     what CONNACK says                             wills        what is published when a client is gone
new_guard   users or rules have changed                   new_limits   limits have changed
census      sums over all of them, in slices              sweep        takes away what has expired
restoring   what a store has kept of all that          status       what the broker says of itself in $SYS/

engine.py is built on it.
"""
