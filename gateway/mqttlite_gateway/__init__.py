"""The gateway on the Pi: devices on serial lines on one side, an MQTT broker on the other.

gateway   all of it: lines, the broker inside, uplinks     settings/ what it and its parts are told
config/   gateway.toml, which says it                      lives     which life of a store this is
lines/    serial ports and the devices on them             inside/   bridge mode: the broker inside, lines joined to it
uplink    what is asked of an upstream or sink             uplinks   which module each is
reloading other settings while it runs                     status    how the lines are, published
running   what its page, its operator and Home Assistant see of it: page/, operating/, home/, radio/

May import all of `mqttlite` that stands below it: `client`, `broker`, `serial`, `settings`, `link` and `core`; nothing
of those imports it.
"""
