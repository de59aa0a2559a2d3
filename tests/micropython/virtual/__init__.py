"""A board in virtual time, on the real interpreter: its program as shipped, on the interpreter's own littlefs, whose
power can be cut at every operation of its flash.

What a board has and a computer has not (machine, network, esp32, sockets, a clock that wraps) is played by parts.py,
the flash by flash.py, the broker by broker.py; world.py starts and ends lives. Needs asyncio's own source beside the
interpreter, whose compiled part has a clock of its own.
"""
