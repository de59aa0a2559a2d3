"""Applications to start from. (This file makes them come before an installed package of the same name on CPython.)"""
