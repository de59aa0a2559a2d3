"""Attacks on our broker with default settings, each for some seconds on this machine, while honest clients measure
what they notice of it: `make attack`.
"""
