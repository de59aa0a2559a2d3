"""This machine, examined as a gateway: `mqttlite doctor`. Needs neither root nor a gateway that runs; one that runs is
asked over its control socket.

finding    what a step says                          examining  which steps there are, and what they are told
settings   the file, its mistakes and its secrets    ports      which there are, who may open them, who has them
clock      whether it is right, and stays right      disk       room, and how long a sync takes
wear       what is written, and how long a card lasts reach      brokers, here and upstream
versions   what is installed, and which build runs   running    the gateway that runs
asking     one question to its control socket

A step takes a Case and yields findings; each says what to do where something is wrong.
"""
