"""Stands before the interpreter's os: nothing is left to chance, so that two runs send the same packets."""

from uos import *  # noqa: F403


def urandom(size):
    return bytes(size)
