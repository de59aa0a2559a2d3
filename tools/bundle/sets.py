"""The sets of features that there are bundles of, and their public names."""

import ast
from dataclasses import dataclass

from tools.places import ROOT

# Public names that belong to a feature, and where they are defined; all others are those of `from mqttlite import ...`.
PUBLIC: dict[str, dict[str, str]] = {
    "JOURNAL": {"Journal": "mqttlite.store.journal", "RawArea": "mqttlite.store.area_raw"},
    "DOUBTS": {"PendingMessage": "mqttlite"},
    "V5": {"ExpiredError": "mqttlite"},
    "STREAM": {"StreamError": "mqttlite"},
    "HOST": dict.fromkeys(("AnswerError", "Authentication", "ReasonCode", "Reconnect", "Statistics"), "mqttlite"),
}

WHOLE = "Client"  # whose parts become one object
STANDS_FOR = {"ClientEvents": "Life", "ClientOwner": "Client"}  # interfaces, and the class that has them here
# Attributes that an application may read, and the part that has them.
EXPOSED = dict.fromkeys(
    ("is_connected", "session_present", "qos0_dropped", "oversized", "expired", "store", "error"), "Life"
)

# What an application may read of the counters that Client.link_stats gives: those of a small state message.
COUNTERS = ("repaired", "damaged", "log_drops", "srtt_ms")

# What an application calls, reads and passes for a feature: methods and attributes of Client and Message, and arguments
# of Client's methods, that a set without it has not.
METHODS = {
    "SERIAL": ("link_stats", "gateway_time"),
    "KEYS": ("last_number",),
    "DOUBTS": ("receipt", "unconfirmed", "pending", "retry", "settle"),
    "MANUAL_ACK": ("acknowledge",),
    "JOURNAL": ("stored", "enqueue"),
    "V5": (
        "expired", "properties", "expires_after_s", "content_type", "response_topic", "correlation_data",
        "payload_is_text", "user_properties", "subscription_identifiers",
    ),
    "STREAM": ("publish_stream", "receive_stream"),
    "TEXTS": ("__repr__",),
}  # fmt: skip
OPTIONS = {
    "JOURNAL": ("store", "wait"),
    "KEYS": ("keys", "key"),
    "V5": ("version", "session_expiry_s", "properties", "no_local", "retain_as_published", "retain_handling"),
    "MANUAL_ACK": ("manual_ack",),
    "TLS": ("tls", "server_name"),
    "STREAM": ("stream_max",),
    "HOST": ("receive_maximum", "user_properties", "subscription_identifier"),
}

FLAGS = ("JOURNAL", "SERIAL", "KEYS", "V5", "DOUBTS", "MANUAL_ACK", "TLS", "STREAM", "SERVER", "HOST", "TEXTS")
OF_HOSTS = ("SERVER", "HOST", "TEXTS")  # that no board has


@dataclass(frozen=True)
class FeatureSet:
    """One bundle. `features`: the flags of core/features.py that are 1; `public`: where its names are defined.
    `drops_constructor`: whether that is a file that is dropped after use (setting_up.py).
    """

    name: str
    features: frozenset[str]
    public: dict[str, tuple[str, str]]
    drops_constructor: bool = False

    @property
    def methods_left_out(self) -> set[str]:
        """Methods that this set has not; and `__await__`, which MicroPython does not know."""
        return _left_out(METHODS, self.features) | {"__await__"}

    @property
    def options_left_out(self) -> set[str]:
        """Arguments of Client's methods that this set has not."""
        return _left_out(OPTIONS, self.features)

    @property
    def only(self) -> dict[str, str]:
        """Variables that hold a module, which is always this one in this set."""
        return {} if "V5" in self.features else {"wire": "mqttlite.core.wire4"}

    @property
    def flags(self) -> dict[str, int]:
        """The value of each flag."""
        return {flag: int(flag in self.features) for flag in FLAGS}


def _left_out(table: dict[str, tuple[str, ...]], features: frozenset[str]) -> set[str]:
    return {name for flag, names in table.items() if flag not in features for name in names}


def offered() -> list[str]:
    """The names of `from mqttlite import ...`."""
    tree = ast.parse((ROOT / "mqttlite" / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    raise LookupError("mqttlite/__init__.py has no __all__")


def _set(name: str, *features: str) -> FeatureSet:
    names = dict.fromkeys(offered(), "mqttlite")
    for flag, of_feature in PUBLIC.items():
        for public, module in of_feature.items():
            names.pop(public, None)
            if flag in features:
                names[public] = module
    public = {found: (module, found) for found, module in names.items()}
    return FeatureSet(name, frozenset(features), public, drops_constructor=True)


SETS = {
    found.name: found
    for found in (
        _set("thin"),
        _set("thin+journal", "JOURNAL", "DOUBTS"),
        _set("thin+serial", "SERIAL"),
        _set("thin+v5", "V5"),
        _set("thin+stream", "STREAM"),
        _set("all", *[flag for flag in FLAGS if flag not in (*OF_HOSTS, "STREAM")]),
    )
}
