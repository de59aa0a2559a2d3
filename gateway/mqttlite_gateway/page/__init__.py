"""The gateway's web page: devices, lines and queues as they are, what needs somebody's decision, and a few trials.

start       puts it together                           server     aiohttp: what is asked for, and who answers it
malformed   what is no HTTP is not logged              crowd      who goes when very many are connected
door        what every request passes               people     logins, sessions, rights
answers     what the page's scripts ask for         files      what browsers load: static/
arguments   of requests                             boards, jobs   boards are set up, and the commands that do it
streams     server-sent events                      parts      what has changed since a browser was told last
collect     what there is to see                    samples, rates   what plots are drawn of
topics      a look at topics, and a trial message   payload    how a payload is shown

Sees of the gateway what stands in running.py. Imports the broker's access and operating, and aiohttp, which is loaded
only where there is a page (`pip install 'mqttlite[page]'`).
"""
