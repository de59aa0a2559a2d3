"""The private constants of the files for boards are those of packet_types."""

from types import ModuleType

import pytest

from mqttlite.core import client, codec_client, connection, packet_types, session


@pytest.mark.parametrize("module", [client, codec_client, connection, session])
def test_private_packet_types_are_the_public_ones(module: ModuleType) -> None:
    public = {name: value for name, value in vars(packet_types).items() if name.isupper()}
    private = {name[1:]: value for name, value in vars(module).items() if name[1:] in public}
    assert private
    assert private == {name: public[name] for name in private}
