"""The broker as its operator sees it: what runs beside it, in its event loop, and looks at it when it is asked.

    async with Broker(...) as broker, MetricsPage(broker, "127.0.0.1:9883"), Control(broker, path): ...

view           what there is to see: counters, clients, sessions, queues      metrics   the same, as Prometheus reads it
loop_watch     how late the event loop is                                     health    whether loop and store get on
metrics_page   HTTP: /metrics and /healthz
actions        what an operator can do; named_actions: with named queues     audit     a line in the log for each
control        the Unix socket for that                                       control_path   where it is
callers        connections to socket and page                                rereading   files, at SIGHUP or when asked
systemd        READY, WATCHDOG, STATUS to the service manager

Nothing of it is called for a message. Imports the broker.
"""
