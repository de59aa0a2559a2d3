"""Which messages to give up so that what is left is spread evenly over the time that they are from: keep="thin".

Loaded when there is no room for the first time. Both runtimes. A message's sequence number stands for its time: who
measures at a steady pace gets them at one, they go on over a restart, and what was given up before is still a gap.
"""


def chosen(waiting: "dict[str, list[int]]", count: int) -> "set[int]":
    """The sequence numbers of `count` messages to give up. `waiting`: those of each topic, oldest first; changed.

    Each time the one whose neighbours are closest to each other, the oldest of such. The first and the last of a topic
    stay as long as there are others; when there are none, the oldest go.
    """
    found: "set[int]" = set()
    while count > 0:
        count -= 1
        best = None
        for numbers in waiting.values():
            for i in range(1, len(numbers) - 1):
                gap = numbers[i + 1] - numbers[i - 1], numbers[i]
                if best is None or gap < best:
                    best = gap
        number = best[1] if best else min([numbers[0] for numbers in waiting.values() if numbers], default=0)
        for numbers in waiting.values():
            if number in numbers:
                numbers.remove(number)
                found.add(number)
    return found
