"""The plugin for pytest, which finds it by itself: fixtures for tests of programs that speak MQTT (docs/testing.md).

    def test_it(mqtt_broker, mqtt_client): ...

Nothing is imported, and nothing runs, until a test asks for one of them.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from .broker import TestBroker
    from .faults import FaultyLink
    from .loop_thread import LoopThread
    from .probe import Probe
    from .process import BrokerProcess

Scope = Literal["session", "package", "module", "class", "function"]

_SCOPES = ("session", "package", "module", "class", "function")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long `mqtt_broker` lives."""
    parser.addini("mqtt_broker_scope", f"how long mqtt_broker lives: {', '.join(_SCOPES)}", default="function")


def pytest_configure(config: pytest.Config) -> None:
    """The markers of this plugin."""
    config.addinivalue_line(
        "markers",
        "mqtt_client(**options): those of the test's mqtt_client: topic_filter, username, password, what Client has",
    )
    config.addinivalue_line(
        "markers",
        "mqtt_broker(**options): those of the test's mqtt_broker: store=True, limits={...}, what Broker has",
    )


def _scope(fixture_name: str, config: pytest.Config) -> Scope:
    scope = str(config.getini("mqtt_broker_scope"))
    if scope not in _SCOPES:
        raise pytest.UsageError(f"mqtt_broker_scope has to be one of {', '.join(_SCOPES)}, not {scope!r}")
    return scope  # type: ignore[return-value]


@pytest.fixture(scope="session")
def _mqtt_loop() -> "Iterator[LoopThread]":
    """The thread in which all of it runs."""
    from .loop_thread import LoopThread

    with LoopThread() as loop:
        yield loop


@pytest.fixture(scope="session")
def mqtt_broker_factory(
    _mqtt_loop: "LoopThread", tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[Callable[..., TestBroker]]":
    """Starts brokers: `mqtt_broker_factory(store=True, limits={"filters": 5})`; they stop when the tests end, or when
    the test calls `close`.
    """
    with ExitStack() as stack:

        def start(**options: Any) -> "TestBroker":
            return stack.enter_context(_made(_mqtt_loop, tmp_path_factory, **options))

        yield start


def _made(
    loop: "LoopThread", folders: pytest.TempPathFactory, *, store: bool | str | Path | None = None, **options: Any
) -> "TestBroker":
    """A broker that is not started yet; `store=True`: with a store somewhere."""
    from .broker import TestBroker

    if store is True:
        store = folders.mktemp("mqtt") / "broker.db"
    return TestBroker(loop, store=store or None, **options)


def _options(request: pytest.FixtureRequest, name: str) -> dict[str, Any]:
    """Those of the marker with this name. TypeError for some without names."""
    marker = request.node.get_closest_marker(name)
    if marker is None:
        return {}
    if marker.args:
        raise TypeError(f"the marker {name} takes its options by name, not {marker.args!r:.60}")
    return dict(marker.kwargs)


@pytest.fixture(scope=_scope)
def mqtt_broker(
    request: pytest.FixtureRequest, _mqtt_loop: "LoopThread", tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[TestBroker]":
    """A broker on a free port: `mqtt_broker.host`, `mqtt_broker.port`, `mqtt_broker.url`. A new one for each test,
    unless the setting mqtt_broker_scope says otherwise; the marker mqtt_broker has its options.
    """
    with _made(_mqtt_loop, tmp_path_factory, **_options(request, "mqtt_broker")) as broker:
        yield broker


@pytest.fixture
def mqtt_client(
    request: pytest.FixtureRequest, mqtt_broker: "TestBroker", _mqtt_loop: "LoopThread"
) -> "Iterator[Probe]":
    """A client that sees everything which is published to `mqtt_broker` from now on, and publishes. The marker
    mqtt_client has its options.
    """
    from .probe import Probe

    with Probe(mqtt_broker.url, _mqtt_loop, **_options(request, "mqtt_client")) as probe:
        yield probe


@pytest.fixture
def mqtt_faults(mqtt_broker: "TestBroker", _mqtt_loop: "LoopThread") -> "Iterator[FaultyLink]":
    """A link to `mqtt_broker` that breaks when it is told to: connect to `mqtt_faults.port` instead."""
    from .faults import FaultyLink

    with FaultyLink(mqtt_broker.host, mqtt_broker.port, _mqtt_loop) as link:
        yield link


@pytest.fixture
def mqtt_broker_process(tmp_path: Path) -> "Iterator[BrokerProcess]":
    """A broker in a process of its own, with a store: `kill`, `start`, `restart`, `stop`, `pause`, `resume`."""
    from .process import BrokerProcess

    with BrokerProcess(tmp_path / "broker.db") as broker:
        yield broker
