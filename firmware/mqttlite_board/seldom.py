"""What the program does seldom: loaded then, so that a board's memory is free of it until then. Both runtimes."""

from . import measuring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ENDING_S = 5  # how long what was accepted has to be confirmed at the end


async def make_room(program: "Any") -> None:
    """Give up readings of the queue, a quarter of it at once: the oldest where the application keeps the newest, or
    such that it is left thinner.
    """
    count = program.app.queue // 4
    waiting: "dict[str, list[int]]" = {program.topic + "/" + sensor.name: [] for sensor in program.app.sensors}
    for message in program.client.pending():
        if message.state == "accepted" and message.topic in waiting:
            waiting[message.topic].append(message.seq)
    if program.app.keep == "thin":
        from . import thinning

        goes = thinning.chosen(waiting, count)
    else:
        goes = set(sorted([seq for numbers in waiting.values() for seq in numbers])[:count])
    for message in program.client.pending():
        if message.seq in goes:
            program.count("given_up", measuring.readings_in(message.payload))
            await program.client.settle(message.seq)


async def switch(program: "Any", url: str) -> None:
    """Go on with another client, at `url`, from the same store."""
    program.ready.clear()
    program.is_connected = False
    if not program.settings["store"]:
        program.count("switched", program.unconfirmed())
    await program.client.close()
    await program.open_client(url).start(wait=False)
    program.ready.set()


async def say_goodbye(program: "Any") -> None:
    """After a failure, too: without a store what was accepted lives in memory alone."""
    client = program.client
    for sensor in program.app.sensors:
        if program.unconfirmed() < program.app.queue:
            await measuring.hand_over(program, sensor, True)
    await client.drain(ENDING_S)
    # The client says goodbye, so there will be no will. At QoS 0 because it must not wait: without a connection it
    # is dropped, and the will comes.
    await client.publish(program.topic + "/online", "0", 0, True)
    await client.drain(ENDING_S)


async def tell(program: "Any", problem: str) -> None:
    """Say that the store cannot be used: the board does not work without. In a session of its own, since what the
    broker keeps for the board waits until it does.
    """
    print(problem)
    url = program.settings["url"]
    url = url if isinstance(url, str) else url[0]
    async with program.make_client(url, client_id=program.settings["name"] + "-problem", clean_session=True) as client:
        await client.publish(program.topic + "/problem", problem, qos=1, retain=True)
