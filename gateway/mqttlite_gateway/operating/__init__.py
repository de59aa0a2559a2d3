"""The gateway as its operator sees it: whether it does what it is there for, and who is told.

health    what is wrong, in sentences: /healthz        service   systemd: ready, watchdog, status
metrics   numbers for Prometheus                       install/  user, unit, udev rules and settings, without a package
answer    what the control socket says of it           aside     what upstreams have refused, over that socket
doctor/   this machine, examined for a gateway         moving/   backup, and the move to another machine
"""
