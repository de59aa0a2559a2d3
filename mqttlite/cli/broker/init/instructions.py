"""What `mqttlite broker init` writes into broker.toml, and what it prints: every line of it is run by a test."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .certificates import Pair

_CONFIG = """\
# mqttlite broker --config {config}
# Made by mqttlite broker init. docs/configuration.md has all keys; --test-config looks at a file before a broker does;
# SIGHUP (systemctl reload) has one that runs read it again, all of it or nothing.

listen = ["mqtts://0.0.0.0:{port}", "mqtt://127.0.0.1:{local_port}"]
{store}

[tls]
certificate = {certificate}
key_file = {key}

[access]
password_file = {users} # mqttlite passwd adds, changes and deletes users

[groups]
everything = [{user}]

[[rule]] # who is in this group may do everything
group = "everything"
all = ["#"]
subscribe = ["$SYS/#"]

[[rule]] # every user has topics of its own: what a device says, and what it is told
all = ["devices/%u/#"]
"""

_TEXT = """\
{folder} has all that a broker for this network needs:
  broker.toml      what it is told: listeners, users, rules
  users            user {user}, whose password is kept as a hash alone: write it down now
  ca.pem, ca.der   for clients, to know this broker by; no secret
  ca.key           signs new certificates (mqttlite broker init --renew): nobody else may have it
  server.pem       for {names}
                   until {until}; fingerprint {fingerprint}

User name and password:
  {user}
  {password}

Start the broker (as a service: docs/operating.md):
  mqttlite broker --config {config}

On another computer, in the folder that ca.pem was copied to:
  mosquitto_sub -h {host} -p {port} --cafile ca.pem -u {user_word} -P {password} -t 'home/#' -v
  mosquitto_pub -h {host} -p {port} --cafile ca.pem -u {user_word} -P {password} -t home/test -m hello -q 1
  mqttlite sub -h {host} -p {port} --cafile ca.pem -u {user_word} -P {password} -t 'home/#' -v
  mqttlite pub -h {host} -p {port} --cafile ca.pem -u {user_word} -P {password} -t home/test -m hello -q 1
  mqttlite pub -h {host} -p {port} --fingerprint {fingerprint} -u {user_word} -P {password} -t home/test -m pinned -q 1

In Python on another computer:
  Client("mqtts://{url_host}:{port}", client_id="desk", username={user_text}, password="{password}", ca="ca.pem")

On a phone, in any app for MQTT, with ca.pem as the CA certificate:
  server {host}, port {port}, TLS on, user name {user}, password {password}

On a board with MicroPython, with ca.der copied to it:
  Client("mqtts://{url_host}:{port}", client_id="kitchen", username={user_text}, password="{password}", \
tls=open("ca.der", "rb").read())

For each device a user of its own, which has the topics devices/NAME/...; then reload the broker:
  mqttlite passwd {users} kitchen
"""


def config(folder: Path, user: str, port: int, local_port: int, is_service: bool) -> str:
    """The text of broker.toml. `is_service`: it may write elsewhere alone, and is told where with --store."""
    store = f"store = {_toml(folder / 'broker.db')}"
    return _CONFIG.format(
        config=folder / "broker.toml",
        port=port,
        local_port=local_port,
        store="# The service has its store where its unit says: --store" if is_service else store,
        certificate=_toml(folder / "server.pem"),
        key=_toml(folder / "server.key"),
        users=_toml(folder / "users"),
        user=_toml(user),
    )


def text(folder: Path, host: str, port: int, user: str, password: str, names: Sequence[str], server: "Pair") -> str:
    """What the operator and the clients need to know. `host`: the name or address under which clients reach it."""
    return _TEXT.format(
        folder=folder,
        config=shlex.quote(str(folder / "broker.toml")),
        users=shlex.quote(str(folder / "users")),
        host=host,
        url_host=f"[{host}]" if ":" in host else host,
        port=port,
        user=user,
        user_word=shlex.quote(user),
        user_text=json.dumps(user),
        password=password,
        names=", ".join(names),
        until=server.until,
        fingerprint=server.fingerprint,
    ).rstrip()


def _toml(value: object) -> str:
    from ....settings.toml_file import toml_value

    return toml_value(str(value))
