"""The serial link, its lines and its stream; scenarios.py runs on both runtimes."""
