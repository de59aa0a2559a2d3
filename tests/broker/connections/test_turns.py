"""What the engine leaves is done in the same turn of the loop, or in one of the next."""

import asyncio

from mqttlite.broker.connections.turns import FLUSH_MESSAGES, Turns
from mqttlite.broker.engine import Engine


async def test_who_has_more_to_do_goes_on_at_once_also_where_there_is_nothing_to_be_written() -> None:
    engine = Engine()
    turns = Turns(engine, None)
    turns.start()
    peer = engine.open("192.0.2.1:1", 0)
    engine.dirty.clear()
    engine.busy[peer] = None
    turns.changed()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not engine.busy


async def test_a_read_after_which_much_is_written_at_once_is_not_counted_among_those_of_the_next_turn() -> None:
    engine = Engine()
    turns = Turns(engine, None)
    turns.start()
    turns.reads_since = 1
    engine.stats.messages_sent += FLUSH_MESSAGES
    turns.changed()
    assert turns.reads_since, "the turn goes on"
    for _ in range(3):
        await asyncio.sleep(0)
    assert not turns.reads_since
