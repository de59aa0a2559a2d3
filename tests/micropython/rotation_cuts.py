"""A rotation of credentials with the power cut at every device operation of every step, on VfsLfs2: after each cut the
board has credentials that work: the old ones, or both, or the new ones once they were confirmed.
"""

import json
from binascii import b2a_base64, unhexlify

from cut_flash import every_cut

from mqttlite_board import rotation, settings
from mqttlite_board.sealing import seal

PATH = "/flash/settings.json"
OLD = {"name": "one", "url": "mqtt://b", "username": "one", "password": "old-password", "key": "1" * 64, "counter": 4}


def command(counter, new):
    sealed = seal(
        unhexlify(OLD["key"]), rotation.PURPOSE, rotation.about("one", counter), json.dumps(new).encode(), b"n" * 16
    )
    return {"do": "rotate", "id": "r", "counter": counter, "sealed": b2a_base64(sealed).decode().strip()}


def look():
    values = settings.read(PATH)
    works = [values["password"]]
    if rotation.is_on_trial(values):
        works.append(values["trial"]["password"])
    return " ".join(works)


def old():
    settings.save(PATH, OLD)


def stored():
    old()
    rotation.accept(PATH, command(5, {"password": "new-password"}))


def refused():
    stored()
    for turn in range(2 * rotation.TRIES - 1):
        assert rotation.turn(PATH, turn % 2 == 1)


BOTH = "old-password new-password"
for name, before, act, allowed in (
    ("accept", old, lambda: rotation.accept(PATH, command(5, {"password": "new-password"})), ("old-password", BOTH)),
    ("turn", stored, lambda: rotation.turn(PATH, False), (BOTH,)),
    ("confirm", stored, lambda: rotation.confirmed(PATH), (BOTH, "new-password")),
    ("give up", refused, lambda: rotation.turn(PATH, True), (BOTH, "old-password")),
):
    found = every_cut(before, act, look)
    assert sorted(found) == sorted(allowed), (name, found)
    print(name, found)
print("all done")
