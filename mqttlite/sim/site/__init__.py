"""A whole site in virtual time: many devices on noisy serial lines, a gateway in bridge mode, and an upstream.

site   what it is made of, what befalls it, what was promised      writes   what is written to the gateway's disk
"""
