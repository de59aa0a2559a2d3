"""The tests: one folder a room of the house, and what they share beside this file. README.md tells which shows what."""
