"""Boards at hand and far away. What is done stands in mqttlite/boards; here is what is asked and said.

flash    `mqttlite flash`: from a bare board to its first message
board/   `mqttlite board`: its settings, and a board on a port
update   `mqttlite update`: what boards run, over MQTT
console  `mqttlite console`: what a board prints, and its prompt
explain  `mqttlite explain`: what a board's numbers mean

None imports another.
"""
