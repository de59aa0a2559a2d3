"""What only one version of MQTT has, for CPython alone; each is loaded by who asks for it.

version31          3.1: another CONNECT
options5           5.0: the arguments of Client that boards do not know
server_info        what the broker has said about itself in CONNACK
server_reference   another server that it names, as a URL
goodbye            a DISCONNECT that says more than that all is in order

What boards have of 5.0, too, is saying5 and expiring, one floor up; Authentication is there as well, for applications.
"""
