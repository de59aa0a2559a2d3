"""A journal with a flipped bit, as a script for MicroPython: file and raw flash. Ends with "all done".

journal_damage.py PATH
"""
# ruff: noqa: ASYNC230 - nothing else runs here

import asyncio
import os
import sys

from cut_flash import BLOCK, Flash

from mqttlite.core.records import ACCEPTED, IDENTITY
from mqttlite.store.area_raw import RawArea
from mqttlite.store.base import StoreError
from mqttlite.store.journal import Journal

COUNT = 10


async def fill(journal):
    state = await journal.open()
    journal.snapshot = lambda: state
    journal.record(IDENTITY, 1, b"board")
    for seq in range(COUNT):
        journal.record(ACCEPTED, seq, b"\x32\x10\x00\x03a/b", b"message %d" % seq)
        await journal.commit()
    await journal.close()


async def check(make, at):
    """What is whole goes on, and is told of; the next life has the same, and nothing to tell."""
    try:
        await make("refuse").open()
        raise AssertionError("byte %d: not noticed" % at)
    except StoreError as error:
        assert "whole records" in str(error), error
    journal = make("")  # as a board's client does
    state = await journal.open()
    assert len(state.messages) >= COUNT - 1, (at, len(state.messages))
    assert "is damaged" in journal.notice
    journal.snapshot = lambda: state
    await journal.close()
    again = make("")
    assert len((await again.open()).messages) == len(state.messages)
    assert not hasattr(again, "notice")
    await again.close()


async def main(path):
    await fill(Journal(path))
    with open(path, "rb") as file:
        data = file.read()
    for at in range(3, len(data) - 60, 17):
        with open(path, "wb") as file:
            file.write(data[:at] + bytes((data[at] ^ 16,)) + data[at + 1 :])
        await check(lambda when: Journal(path, when_damaged=when), at)
        with open(path + ".damaged", "rb") as file:
            assert file.read() != data
        os.remove(path + ".damaged")
    with open(path, "wb") as file:
        pass
    journal = Journal(path)
    assert not (await journal.open()).messages
    assert "empty" in journal.notice
    await journal.close()
    flash = Flash(bytearray(4 * BLOCK))
    journal = Journal(RawArea(flash))
    await fill(journal)
    image = bytes(flash.image)
    half = journal._area.half * 2 * BLOCK
    for at in range(3, journal._area.at - 60, 17):
        flash.image[:] = image
        flash.image[half + at] ^= 16
        await check(lambda when: Journal(RawArea(flash), when_damaged=when), at)
    print("all done")


asyncio.run(main(sys.argv[1]))
