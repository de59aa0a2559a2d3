"""Boards seen from a computer: their settings, what is known of them, how they are set up. CPython.

examining/   a board, step by step; how quick it is       flashing/   from whatever its flash holds to its first message
updating/    releases, rollouts, new credentials          reaching/   ports, prompts, chips, what arrives
images/      what its flash holds                         known/      kinds of boards, partition tables
settings/    board.toml, fleet.csv, what is asked
report       what a long command says while it works      supplies    what a board is given
extras       packages that are not installed with mqttlite

Imports: downwards in this list.
"""
