"""Boards seen from a computer: their settings, what is known of them, how they are set up. CPython."""
