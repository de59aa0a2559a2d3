"""Crash tests: real processes, killed and cut off at seeded points; nothing may be lost, nothing handled twice."""
