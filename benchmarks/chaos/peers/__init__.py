"""The programs of the peers: what a careful user of each library writes, with a persistent session.

A library keeps messages in memory only, so its application does what it can: it starts when it is connected, notes a
number in the file "offered" before it publishes and in "accepted" after, has at most WINDOW of them unconfirmed, and
after a restart goes on with the next number. What was offered and not accepted when it was killed is nobody's loss, and
is not published twice.
"""

WINDOW = 20
OFFERED = "offered"
HANDLED = "handled"
RECONNECT_S = 0.02  # runs cut often; the libraries' own second or more would only take longer
