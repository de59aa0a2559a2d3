"""The tools that build and check."""
