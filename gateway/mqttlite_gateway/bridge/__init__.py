"""The bridge: what is published at the broker inside goes on to another one, and what that has comes here.

**The upstream session is the embedded broker's session.** For each upstream the engine has a session `$bridge/NAME`,
whose queue is the upstream queue. The relay joins a connection of that session (mqttlite.broker.inside) with one to the
upstream broker: packets pass through with their packet identifiers, so all that both handshakes have to remember is the
engine's, in the commit of which the device's acknowledgement tells.

mapping    topics and properties on their way, in both directions
terms      in which version the upstream is spoken to, and what it announces
rate       how fast it may go, and how fast it goes        age    how old the messages are that wait
counts     what became of messages, and how the queue is
relay      the join, without I/O or clock
session    the engine's session, as the bridge has to look into it
kept       what has to be known of the upstream after a restart
dead       what an upstream refuses, set aside
opening    from a connection to a session: CONNECT, and what follows when one side has lost its session
joined     a connection that is up: carries bytes, and the time
uplink     an upstream: connects, comes again, says how it is
"""
