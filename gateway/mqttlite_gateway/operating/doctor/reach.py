"""Brokers: who has the ports of this machine's, whether upstreams answer, and whether they take this gateway."""

import socket
import ssl
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from mqttlite.broker.listening.listen import ListenError, open_sockets

from .finding import DOUBTFUL, LEFT_OUT, OK, WRONG, Case, Finding

STEP = "brokers"
TIMEOUT_S = 5.0
HERE = "mqtt://127.0.0.1:1883"
PORTS = {
    "mqtt": 1883,
    "mqtts": 8883,
    "ws": 80,
    "wss": 443,
    "amqp": 5672,
    "amqps": 5671,
    "postgresql": 5432,
    "postgres": 5432,
}
SECURE = ("mqtts", "wss", "amqps")


def look(case: Case) -> Iterator[Finding]:
    """Here, then upstream."""
    yield _here(case)
    if case.config is None:
        yield Finding(STEP, LEFT_OUT, "upstreams are not known without the settings")
        return
    urls = [each.url for each in case.config.upstreams] if case.config.is_bridge else [case.config.upstream]
    for url in urls:
        yield reached(url)
    if case.config.is_bridge and not urls:
        yield Finding(STEP, OK, "there is no [[upstream]]: messages stay with the broker inside")


def _here(case: Case) -> Finding:
    try:
        for sock in open_sockets(HERE):
            sock.close()
    except ListenError as error:
        text = str(error).partition(": ")[2].partition(";")[0]
        if case.pid is not None or "mqttlite" in text or "mosquitto" in text or "permission" in text:
            return Finding(STEP, OK, f"on this machine: {text}")
        return Finding(
            STEP, DOUBTFUL, f"on this machine: {text}", "is that your broker? Else the gateway goes without one"
        )
    return Finding(STEP, OK, "on this machine nobody listens at port 1883")


def reached(url: str) -> Finding:
    """Whether somebody answers there. Nothing of its user and password is said."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return _unix(parts.path)
    host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 1883)
    place = f"{host}:{port}"
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        todo = "look at the name, and at this machine's network: resolvectl query NAME"
        return Finding(STEP, WRONG, f"the name {host} is not known: {error.strerror}", todo, {"host": host})
    began = time.perf_counter()
    try:
        with socket.create_connection((host, port), TIMEOUT_S) as sock:
            took_s = time.perf_counter() - began
            if parts.scheme in SECURE:
                with ssl.create_default_context().wrap_socket(sock, server_hostname=host) as secure:
                    version = secure.version()
                return Finding(STEP, OK, f"{place} answers in {took_s * 1000:.0f} ms, {version}", values={"host": host})
    except ssl.SSLCertVerificationError as error:
        text = f"{place} answers; its certificate: {error.verify_message}"
        todo = "for a certificate of your own, name its CA below tls; else look at this machine's clock"
        return Finding(STEP, DOUBTFUL, text, todo, {"host": host})
    except ssl.SSLError as error:
        return Finding(STEP, WRONG, f"{place} answers, and not with TLS: {error.reason}", "is it the right port?")
    except ConnectionRefusedError:
        return Finding(STEP, WRONG, f"nothing listens at {place}", "is the broker running, and is this its port?")
    except OSError as error:
        why = "no answer" if isinstance(error, TimeoutError) else error.strerror or error
        return Finding(STEP, WRONG, f"{place}: {why}", "is the network there, and does a firewall let this through?")
    return Finding(STEP, OK, f"{place} answers in {took_s * 1000:.0f} ms", values={"host": host})


def _unix(path: str) -> Finding:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT_S)
        try:
            sock.connect(path)
        except OSError as error:
            return Finding(STEP, WRONG, f"{path}: {error.strerror}", "is the broker running?")
    return Finding(STEP, OK, f"{path} answers")
