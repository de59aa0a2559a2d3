"""Who comes in, how often, and who makes room when there is none left: by address, by user, by identifier.

Gates are asked where something begins or once a second, never for each message. They keep no more than the limits
allow, and know nothing of sockets or clocks.
"""
