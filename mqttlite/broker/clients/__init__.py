"""One client: its network connection, its session, and what is queued in it.

peer             the connection as the engine sees it          publishable     what it may publish
publishing       what a message that it brings may come to     runs            packets that are alike, in one step
client_session   all that the broker knows of its session      events          lines of the log about it
queue            what waits for it, with its bytes             paging          what of that is on the disk alone
parking          PUBLISH that waits, of who is held back       pace            how much of it is done in a turn
forms            how a message leaves, in its version          broker_store    what of all that is kept

Nothing here knows another client: that is routing/ (who gets what) and sessions/ (who comes, and stays).
"""
