"""Serial lines and the devices on them.

line      one port: opened, served, opened again      forward   a connection to a broker for what a device sends
upstream  a broker that is reached over a network     watch     what is said of a line on which no device is
bus, bus_line   a port that many devices share, and one of these
ports     which ports are served, as they are plugged in   udev   what the system says of that
console, console_socket, direct, separator            what a board prints, and its prompt
pace      a port is read no faster than its line can be
names, saying, provision   what devices are called, how often the log says so, boards that wait for their settings
"""
