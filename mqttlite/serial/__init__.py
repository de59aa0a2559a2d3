"""Serial ports, the line and the link's shell: how a client and a gateway use mqttlite.link on a real port.

line         the pump between a link and a port, both ends'     clock      milliseconds for all shells; lower floors are
dialer       a client's connections through a gateway                      told the time and never ask
ports        a port on CPython (POSIX)                          board_port  a UART on MicroPython
bus          a client on a bus of many devices
dialer_host  the dialer where there is room for a diagnosis     diagnosis, silence  why no session begins

Imports core and link only. Both runtimes, but for ports, dialer_host and diagnosis.
"""
