"""The Wi-Fi side: how a broker is found in its network, and how a device gets its name, its password and its rights.

announce   broker and page, by multicast DNS      discover   looks for brokers, from a computer
devices    adds, lists, renews, removes devices

What a board does to find a broker is the board's: mqttlite_board/discovery.py, on mqttlite_board/mdns.py.
"""
