"""[[upstream]] in the gateway's file."""

from pathlib import Path

from mqttlite_gateway.config import load
from mqttlite_gateway.settings.upstream import Route


def test_an_upstream_of_the_file_is_there_with_what_passes_in_both_directions(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text("""\
mode = "bridge"
[[upstream]]
name = "cloud"
url = "mqtt://127.0.0.1:1884"
rate = 50
out = [{ filter = "sensors/#", to = "site-7/", qos = 1 }]
in = [{ filter = "site-7/commands/#", strip = "site-7/" }]
""")
    (upstream,) = load(path).upstreams
    assert (upstream.name, upstream.rate) == ("cloud", 50)
    assert upstream.out == (Route("sensors/#", to="site-7/", qos=1),)
    assert upstream.inwards == (Route("site-7/commands/#", strip="site-7/"),)
