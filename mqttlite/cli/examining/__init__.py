"""What is looked into, measured and compared.

bench     `mqttlite bench`: a broker, a serial line or a board    measure/  what it does with the first two
doctor/   `mqttlite doctor`: this machine as a gateway, or a board
verify/   `mqttlite verify`: two ends of the way
store     `mqttlite store`: what a store holds
simulate  `mqttlite simulate`: faults in a simulated world

bench imports measure/ and messages/; none of the others imports another.
"""
