"""Bridges under the same faults: ours, Mosquitto's, and one from PyPI (`make bridge-faults`); and 100,000 messages.

contestants   each as processes: started, killed, their processor time
wire          what stands between a bridge and its upstream
run           feeds, collects, counts                              faults   what happens meanwhile
table         all of it, printed                                   long     100,000 messages queued, and a restart
"""
