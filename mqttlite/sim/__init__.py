"""The deterministic world that tests and the demo run in: lines, noise, faults. No part of a board's program."""
