"""How many files a process may have open: each connection is one, and most systems begin with 1,024."""

import logging

log = logging.getLogger("mqttlite.broker")

BESIDE = 500  # connections that are just being let in, or closed and not gone yet; listeners, the store, Python's own
BETTER = 16_384  # where the system lets it: a quarter may wait to be let in (broker/connections/acceptor.py)


def allow(connections: int) -> None:
    """Let this process have so many connections, as far as the system lets it: without more, nobody could connect where
    there are as many as that, and the log says so.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + BESIDE
    wanted = max(needed, BETTER)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError) as error:
        log.warning("this process may have %d files open, and no more: %s", soft, error)
        return
    if most < needed:
        log.warning(
            "this process may have %d files open: too few for %d connections; raise the limit (ulimit -Hn, or "
            "LimitNOFILE= of its systemd unit), or lower the limit 'connections' to %d",
            most,
            connections,
            max(10, most - BESIDE),
        )
