"""docs/authentication.md: its program runs as it stands."""

import hmac
from pathlib import Path

import pytest

from mqttlite import Client
from mqttlite.core.errors import RefusedError
from tests.broker.five import AUTH, CONNACK, CONNECT, packet, prefixed, properties
from tests.broker.raw import RawClient, port_of
from tests.docs.pages import program
from tests.docs.running import running
from tests.peers import free_port


async def test_it_lets_in_who_has_the_password_or_the_key_and_nobody_else(tmp_path: Path) -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    async with running(program("docs/authentication.md", "authenticate"), url, tmp_path) as output:
        assert await output.readline() == b"ready\n"
        async with Client(url, client_id="a", username="kitchen", password="saffron") as client:
            await client.subscribe("t")
        with pytest.raises(RefusedError) as refused:
            async with Client(url, client_id="b", username="kitchen", password="salt"):
                pass
        assert refused.value.code == 4
        async with RawClient(port_of(url)) as raw:
            named = properties(CONNECT, {"AuthenticationMethod": "CHALLENGE"})
            raw.writer.write(packet(0x10, b"\0\4MQTT\5\2\0\0" + named + prefixed(b"c")))
            assert (await raw.reader.readexactly(3))[0] == AUTH << 4
            rest = await raw.reader.read(100)
            answer = hmac.digest(b"a key of the house", rest[-16:], "sha256")
            named = properties(AUTH, {"AuthenticationMethod": "CHALLENGE", "AuthenticationData": answer})
            raw.writer.write(packet(0xF0, b"\x18" + named))
            connack = await raw.reader.readexactly(4)
            assert (connack[0], connack[3]) == (CONNACK << 4, 0)
