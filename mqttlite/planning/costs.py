"""What things cost, as measured. Processor times are of the machine that the benchmarks of the README ran on; `slower`
in a plan is the factor to the user's own.

What stands here is rounded to what the measurements are good for, which differ by a quarter from run to run.
"""

# The broker (python -m benchmarks.broker_cpu, and the same load from 1, 10 and 50 connections with one message each
# at a time): a turn of its event loop, each connection that has something in it, and each packet. At QoS 1, a message
# of 1 pair, one at a time, costs two turns; of 50 pairs two connections; of 10 pairs with full windows two packets.
BROKER_TURN_US = 40.0
BROKER_CONNECTION_US = 48.0
BROKER_PACKET_US = 8.0

# With a store, besides: a commit, and a record in it.
COMMIT_US = 300.0
RECORD_US = 10.0

# The gateway (mqttlite demo, its processor time by the frames of both directions).
GATEWAY_FRAME_US = 280.0

# A consumer (python -m benchmarks, "receive"), by QoS: its whole handshake.
CONSUMER_US = (16.0, 25.4, 39.2)

# A journal on littlefs (tests/micropython/journal_wear.py, on MicroPython's littlefs, 40 to 360 bytes, groups of 1 to
# 10): an erase for each commit, because littlefs copies the block that it appends to, and one for each block that
# fills. What fits into three small files (store/area_file.py) costs a part of one for each. On a raw partition only
# blocks that fill. Compaction is in all figures.
LITTLEFS_ERASES_PER_COMMIT = 1.02
LITTLEFS_ERASES_PER_SMALL_FILE = 0.165
FLASH_BLOCK = 4096

# How SQLite's store lingers before it writes what nobody waits for (store/sqlite.py).
LINGER_MS = 10.0

# From a lost TCP segment, after the radio's own repeats, to the next try (lwIP's first time-out).
TCP_RETRY_MS = 1000.0
RADIO_TRIES = 7

# After an outage: TCP and CONNECT again, which the gateway asks the devices to do at once.
RECONNECT_MS = 500.0
