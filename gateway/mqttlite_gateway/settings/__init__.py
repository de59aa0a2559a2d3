"""What a gateway and its parts are told, and what that may be, whoever says it: the file (config/), the command line,
which counts more, or a program. Imports nothing else of the gateway: whoever only reads the file needs no aiohttp for a
page, and no zeroconf.

whole       Config: everything, and what has to go together     errors     ConfigError
general     mode, console                                       status     where the state of lines is published
port        a serial port, or which ports                       bus_port   one that many devices share
broker      the broker that it leads to: URL, TLS               upstream   each broker or sink that the bridge leads to
page, mdns, home_assistant                                      the tables of these names
"""
