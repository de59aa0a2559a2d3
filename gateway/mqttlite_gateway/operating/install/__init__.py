"""`sudo mqttlite gateway --install`: a service, where there is no Debian package. The wheel alone brings all of it.

shipped   the files: unit, udev rules, settings       system       the machine it goes to, or an image of one
step      one thing that is there or is made          installing   which steps there are, in order, there and back
program   the command that the service runs, and how it comes to a place where it can

Each step says what it does; one that is done already says so and does nothing, so it may be run again.
"""
