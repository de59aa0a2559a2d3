"""A board gets all that it needs, from whatever its flash holds to its first message.

flashing        one board, `mqttlite flash`              drive_board   one that shows itself as a drive
fleet           one after the other                      app_only      the application alone, onto one that runs
gateway_setup   one that waits for its settings at a gateway
"""
