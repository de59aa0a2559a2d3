"""`mqttlite ctl` shows upstreams and what they have refused, and tries that again or deletes it."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from mqttlite.broker import Access, Broker, Rule, Rules
from mqttlite.broker.operating.control import Control
from mqttlite.client import Client
from mqttlite_gateway.operating.aside import AsideActions
from tests.peers import Result, run

from .world import LOCAL, TIMEOUT_S, Reader, gateway, settings, until

EVERY = frozenset(("publish", "subscribe", "receive"))


async def test_an_operator_sees_upstreams_and_tries_again_or_deletes_what_they_have_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "control")

    async def ctl(*words: str, check: bool = True) -> Result:
        return await run(sys.executable, "-m", "mqttlite", "ctl", "--socket", path, *words, check=check)

    rules = [Rule("#", EVERY), Rule("site-7/up/no", frozenset(("publish",)), allow=False)]
    async with (
        Broker(LOCAL, access=Access(rules=Rules(rules), anonymous=True)) as far,
        gateway(tmp_path / "gateway.db", settings(far.addresses[0])) as (broker, uplink),
        Reader(far.addresses[0], "site-7/#") as reader,
    ):
        control = Control(broker, path)
        AsideActions(cast(Any, SimpleNamespace(uplinks=[uplink]))).add_to(control)
        async with control:
            async with Client(broker.addresses[0], client_id="device") as device:
                for number in range(3):
                    await device.publish("up/no", b"%d" % number, 2)
                assert await device.drain(TIMEOUT_S)
            await until(lambda: uplink.describe()["set_aside"] == 3)
            (head, line) = (await ctl("upstreams")).stdout.splitlines()
            assert head.startswith("name ")
            assert head.endswith("set aside  problem")
            assert line.split()[:4] == ["cloud", "mqtt", "connected", "0"]
            said = (await ctl("aside", "cloud")).stdout
            assert "not authorised" in said
            assert said.count("up/no") == 3
            assert (await ctl("drop-aside", "cloud", "0")).stdout == "1 messages are dropped\n"
            far.set_access(Access(rules=Rules(rules[:1]), anonymous=True))
            assert (await ctl("retry-aside", "cloud", "--all")).stdout == "2 messages are tried again\n"
            assert [payload for _, payload in await reader.got(2)] == [b"1", b"2"]
            assert (await ctl("aside", "cloud")).stdout == "none\n"
            assert "there is no upstream 'sky'; there are: cloud" in (await ctl("aside", "sky", check=False)).stderr
            assert "say which message" in (await ctl("drop-aside", "cloud", check=False)).stderr
            assert "no message 9 set aside" in (await ctl("drop-aside", "cloud", "9", check=False)).stderr
