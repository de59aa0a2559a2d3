"""`mqttlite broker`, and its users. Options here have tables of the same names in the broker's file (broker/config/).

broker      the command                                 reload     what SIGHUP does: all of it or nothing
check       --test-config                               operating  metrics, control socket, what systemd hears
init/       `broker init`: all that a network at home needs
importing/  `broker import mosquitto.conf`
access      who may connect, as options                 listeners  TLS and WebSocket, as options
passwd      `mqttlite passwd`: users and passwords

Imports: downwards in this list, and serving/.
"""
