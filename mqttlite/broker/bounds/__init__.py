"""Bounds that others ask about, each a decision about a few numbers.

addresses   what counts as one address                    deadlines    who has to be looked at, and when
progress    what has to come in time                      properties   how many, and how large
rates       so many in a second                           wildcards    what matching may cost

Their numbers are those of limits.py. What is counted for them stands in counting/; who comes in at all, in gates/.
"""
