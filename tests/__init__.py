"""The tests: one folder a room of the house, and what they share (peers, runtimes, statements) beside this file."""
