"""Sinks: where messages of the broker inside go that is no MQTT broker.

base      what a sink is: all that somebody needs to know who writes another one
amqp      RabbitMQ: publisher confirms, quorum queue or exchange      postgres   PostgreSQL: a row each, exactly once
uplink    what all of them share: queue, order, batches, trying again, dead letters, what is shown

The settings are those of an upstream of the bridge (settings/upstream.py), whose `options` are the sink's own.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..settings.upstream import UpstreamSettings
    from .base import Sink


def _amqp(settings: "UpstreamSettings", source: str) -> "Sink":
    from .amqp import AmqpSink, amqp_options

    tls = None
    if settings.url.startswith("amqps://"):
        from mqttlite.client.secure.tls_options import TlsOptions

        tls = TlsOptions(**settings.tls).context("amqps", settings.shown_url)
    return AmqpSink(settings.url, settings.name, amqp_options(settings.options), source, tls)


def _postgres(settings: "UpstreamSettings", source: str) -> "Sink":
    from .postgres import PostgresSink, postgres_options

    options = postgres_options(settings.options)
    return PostgresSink(settings.url, settings.name, options, source, settings.inflight, settings.ack_timeout_s)


KINDS = {"amqp": _amqp, "postgres": _postgres}


def sink_of(settings: "UpstreamSettings", source: str) -> "Sink":
    """Not connected yet; its messages are `source`'s. ValueError: what an operator has to change, or install."""
    return KINDS[settings.kind](settings, source)


def check_options(settings: "UpstreamSettings") -> None:
    """ValueError: a key of its own that the sink does not know, or a value that cannot be."""
    if settings.kind == "amqp":
        from .amqp import amqp_options

        amqp_options(settings.options)
    elif settings.kind == "postgres":
        from .postgres import postgres_options

        postgres_options(settings.options)
