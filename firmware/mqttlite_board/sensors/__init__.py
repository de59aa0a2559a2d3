"""Sensors to choose from, one module each: an application imports the ones that it uses, and a board loads no other."""
