"""The plugin as pytest finds it: the examples of docs/testing.md, with paho-mqtt, aiomqtt and ours, in a pytest of
their own; scopes and options; what it costs who does not use it.
"""

import re
import subprocess
import sys

import pytest

from tests.docs.pages import text_of

pytest_plugins = ["pytester"]

PROGRAMS = re.findall(r"^```python\n(.*?)^```", text_of("docs/testing.md"), re.MULTILINE | re.DOTALL)
SETTINGS = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
addopts = -p no:cacheprovider -p no:xdist -p no:randomly --strict-markers
"""
SCOPES = """
seen = set()

def test_one(mqtt_broker, mqtt_client):
    seen.add(mqtt_broker)
    mqtt_client.publish("a", "1", retain=True)

def test_two(mqtt_broker, request):
    seen.add(mqtt_broker)
    is_kept = request.config.getini("mqtt_broker_scope") == "module"
    assert len(seen) == (1 if is_kept else 2)
    assert mqtt_broker.retained() == ({"a": b"1"} if is_kept else {})
"""


def test_the_examples_of_the_page_pass(pytester: pytest.Pytester) -> None:
    tests = [source for source in PROGRAMS if "def test_" in source]
    assert len(tests) == 5
    pytester.makeini(SETTINGS)
    for number, source in enumerate([*tests, SCOPES]):
        pytester.makepyfile(**{f"test_page_{number}": source})
    result = pytester.runpytest_subprocess("-q")
    result.assert_outcomes(passed=sum(source.count("def test_") for source in [*tests, SCOPES]))


@pytest.mark.parametrize("source", [source for source in PROGRAMS if "def test_" not in source])
def test_the_programs_of_the_page_run(source: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", source], check=True, timeout=60)


def test_a_broker_lives_as_long_as_the_settings_say(pytester: pytest.Pytester) -> None:
    """That it lives as long as its test without them, is seen where the examples are run."""
    pytester.makepyfile(SCOPES)
    pytester.makeini(SETTINGS + "mqtt_broker_scope = module\n")
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=2)


def test_a_scope_that_is_none_is_said(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_one(mqtt_broker): pass")
    pytester.makeini(SETTINGS + "mqtt_broker_scope = week\n")
    result = pytester.runpytest_subprocess("-q")
    assert "mqtt_broker_scope has to be one of session, package" in result.stdout.str() + result.stderr.str()


MISTAKES = {
    'mqtt_broker(limits={"retained_message_byte": 5})': "'retained_message_byte': did you mean retained_message_bytes",
    'mqtt_broker(limits={"filterz": 5})': "no limit 'filterz': did you mean filters",
    "mqtt_broker(stroe=True)": "no option 'stroe': did you mean store",
    "mqtt_broker(zzz=True)": "no option 'zzz': there are listen, limits, store,",
    "mqtt_broker(filters=5)": "'filters' is a limit: write limits={'filters': ...}",
    'mqtt_broker({"filters": 5})': "the marker mqtt_broker takes its options by name, not ({'filters': 5},)",
    'mqtt_client("room/#")': "the marker mqtt_client takes its options by name, not ('room/#',)",
}


def test_an_option_or_a_limit_that_there_is_not_is_said_with_what_it_may_be(pytester: pytest.Pytester) -> None:
    for number, marker in enumerate(MISTAKES):
        pytester.makepyfile(
            **{
                f"test_{number}": f"""
                import pytest

                @pytest.mark.{marker}
                def test_one(mqtt_broker, mqtt_client): pass
                """
            }
        )
    pytester.makepyfile(
        test_factory="""
        def test_one(mqtt_broker_factory):
            mqtt_broker_factory(limits={"filterz": 5})
        """
    )
    pytester.makeini(SETTINGS)
    result = pytester.runpytest_subprocess("-q")
    result.assert_outcomes(errors=len(MISTAKES), failed=1)
    said = result.stdout.str()
    for words in MISTAKES.values():
        assert words in said
    assert said.count("no limit 'filterz': did you mean filters") >= 2


def test_who_does_not_use_it_imports_nothing_of_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_there():
            ours = {name for name in sys.modules if name.startswith("mqttlite")}
            assert ours == {"mqttlite", "mqttlite.testing", "mqttlite.testing.plugin"}
        """
    )
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider\n")
    pytester.runpytest_subprocess("-q", "-p", "no:asyncio").assert_outcomes(passed=1)
    code = "import sys, mqttlite; print(*(name for name in sys.modules if name.startswith('mqttlite')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mqttlite"]
