"""What other clients call it, and what to write here instead: for names that Client does not have. CPython only."""

import re
from collections.abc import Mapping
from typing import Any

HOST = r"[A-Za-z0-9._-]+|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*"  # a name or an address, and no password

NO_CALLBACKS = {
    "on_message": "messages come by 'async for message in client'; or write '@client.on(FILTER)' above a function",
    "on_connect": "write Client(..., on_connection=function), which is called with (connected, reason)",
    "on_disconnect": "write Client(..., on_connection=function), which is called with (connected, reason)",
    "on_publish": "publish returns a receipt, and 'await receipt' returns when the broker has confirmed",
    "on_subscribe": "'await client.subscribe(...)' returns when the broker has answered",
    "on_unsubscribe": "'await client.unsubscribe(...)' returns when the broker has answered",
    "on_log": "what there is to say goes to logging.getLogger('mqttlite.client')",
}

_NO_METHODS = {
    "connect": "write 'async with Client(...) as client:', which connects",
    "connect_async": "write 'await client.start(wait=False)', which connects meanwhile",
    "disconnect": "leave 'async with', or 'await client.close()'",
    "reconnect": "it connects again by itself",
    "loop_start": "it runs in the event loop: 'async with Client(...) as client:' is all",
    "loop_stop": "it runs in the event loop: 'async with Client(...) as client:' is all",
    "loop_forever": "'await client.handle(function)' runs until the client is closed",
    "username_pw_set": "write Client(..., username=..., password=...)",
    "will_set": "write Client(..., will=Will(topic, payload, qos, retain))",
    "tls_set": "write Client('mqtts://host', ca=..., certificate=..., key_file=...)",
    "tls_set_context": "write Client('mqtts://host', tls=context)",
    "tls_insecure_set": "write Client('mqtts://host', insecure=True), or better fingerprint=...",
    "ws_set_options": "the path stands in the URL, as in Client('ws://host/path')",
    "messages": "write 'async for message in client', or 'async with client.subscription(topic_filter) as messages'",
    "filtered_messages": "write 'async with client.subscription(topic_filter) as messages'",
    "unfiltered_messages": "write 'async for message in client': it gives what no subscription has",
    "message_callback_add": "write '@client.on(topic_filter)' above the function",
    "message_callback_remove": "'await client.handle(function, topic_filter)' runs until it is cancelled",
    "reconnect_delay_set": "write Client(..., reconnect=Reconnect(least_s, greatest_s))",
    "max_inflight_messages_set": "write Client(..., window=...)",
    "max_queued_messages_set": "write Client(..., queue_max=..., queue_bytes=...)",
    "ack": "write 'client.acknowledge(message)', with Client(..., manual_ack=True)",
    "enable_logger": "what there is to say goes to logging.getLogger('mqttlite.client')",
    "disable_logger": "what there is to say goes to logging.getLogger('mqttlite.client'), which has setLevel",
    "user_data_set": "keep it in an object of your own: a function that is called may be its method",
    "user_data_get": "keep it in an object of your own: a function that is called may be its method",
    "publish_batch": "write 'await client.publish_many(messages)'",
}

_RECEIPT = {
    "wait_for_publish": "write 'await receipt', which returns when the broker has confirmed",
    "is_published": "write receipt.done",
    "mid": "receipt.seq is the number of the message",
    "rc": "publish raises what is wrong",
}

_WITH = "it runs in a thread of its own: 'with Client(...) as client:' is all"

BLOCKING = {  # where the client without async has it otherwise
    "on_message": "messages come by 'for message in client.messages()'; or write '@client.on(FILTER)' above a function",
    "on_publish": "publish returns a receipt, whose wait() returns when the broker has confirmed",
    "on_subscribe": "client.subscribe(...) returns when the broker has answered",
    "on_unsubscribe": "client.unsubscribe(...) returns when the broker has answered",
    "connect": "write 'with Client(...) as client:', which connects",
    "connect_async": "write 'client.start(wait=False)', which connects meanwhile",
    "disconnect": "leave 'with', or client.close()",
    "loop_start": _WITH,
    "loop_stop": _WITH,
    "loop_forever": "client.run() returns when the client is closed",
    "filtered_messages": "write 'with client.subscription(topic_filter) as messages'",
    "unfiltered_messages": "write 'for message in client.messages()': it gives what no subscription has",
    "message_callback_remove": "'with client.subscription(topic_filter) as messages' ends with its block",
    "handle": "write '@client.on(topic_filter)' above the function",
    "publish_batch": "write client.publish_many(messages)",
    "wait_for_publish": "write receipt.wait(timeout_s)",
}


def check_one_url(url: object, more: tuple[object, ...], options: Mapping[str, Any]) -> None:
    """TypeError for host and port in the place of the URL, as other clients have them, or for none at all (...)."""
    if url is not ... and not more and not ("port" in options and "://" not in str(url)):
        return
    host = url if url is not ... else options.get("host", options.get("hostname"))
    port = more[0] if more else options.get("port", 1883)
    write = 'Client("mqtt://localhost:1883", client_id="pump")'
    if isinstance(host, str) and re.fullmatch(HOST, host) and type(port) is int and 0 < port < 65536:
        write = f'Client("{"mqtts" if port == 8883 else "mqtt"}://{f"[{host}]" if ":" in host else host}:{port}")'
    raise TypeError(f"Client takes one URL, and all else by name: write {write}")


def no_callback(name: str, is_blocking: bool = False) -> str:
    """What to write instead of `client.NAME = function`, which other clients have."""
    instead = (is_blocking and BLOCKING.get(name)) or NO_CALLBACKS.get(name)
    return f"Client has no '{name}' to set: {instead or 'callbacks are arguments of Client(...)'}"


def no_attribute(name: str, is_blocking: bool = False) -> str:
    """What to write instead of reading `client.NAME`."""
    if name in NO_CALLBACKS:
        return no_callback(name, is_blocking)
    instead = (is_blocking and BLOCKING.get(name)) or _NO_METHODS.get(name)
    return f"Client has no '{name}'" + (f": {instead}" if instead else "")


def no_attribute_of_receipt(name: str, is_blocking: bool = False) -> str:
    """The same for what `publish` returns."""
    instead = (is_blocking and BLOCKING.get(name)) or _RECEIPT.get(name)
    return f"Receipt has no '{name}'" + (f": {instead}" if instead else "")
