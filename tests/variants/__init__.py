"""Every variant of what a board runs, on the real interpreter with 32 and 64 bits: the separate files of the source,
and each bundle (tools/bundle). A bundle is not the code that is simulated, so it has its own proof.
"""
