"""Who comes in, how often, and who makes room when there is none left: by address, by user, by identifier.

entrance       who may come in now, and who goes for it        takeovers      of a session, again and again
logins         failed ones, by address                         publish_rate   messages a second
budgets        bytes of an address, a user and all             hoards         persistent sessions, and whose ends
buffers        bytes that stand: not done, not gone            log_rate       lines of the log

Gates are asked where something begins, where bytes stand, or once a second, never for each message. They keep no more
than the limits allow, and know nothing of sockets or clocks.
"""
