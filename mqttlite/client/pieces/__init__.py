"""Payloads in pieces, so that a large one is never held whole: a picture that a board's camera gives, a firmware that
it writes to flash. Loaded with the first one; a board's bundle has it or has it not (core/features.STREAM).

sources     where a payload comes from: a file, a function, an iterator
sending     publish_stream; and the pieces between two emptyings of the protocol's `out`
message     what arrives, for whoever takes it; interfaces, for the type checker
inflow      what arrives, and whoever takes it
receiving   receive_stream
keyed       idempotency keys of both; CPython only
"""
