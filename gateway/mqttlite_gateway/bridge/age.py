"""How old the messages of a queue are, from marks: at some time, which number the next message had. Without a clock:
`clock` in ms. Imports nothing.
"""

MARKS_MAX = 200


class Ages:
    """`marks`: [number, clock], oldest first; what a store has kept. `most_ms`: the greatest age that is asked for."""

    def __init__(self, marks: list[list[int]], most_ms: int = 0) -> None:
        self.marks = marks
        self._least_ms = max(1000, most_ms // 100) if most_ms else 1000  # between two marks

    def look(self, first: int, following: int, clock: int) -> bool:
        """The first message that is unfinished, the number of the next; whether there is a new mark."""
        marks = self.marks
        while len(marks) > 1 and marks[1][0] <= first:
            del marks[0]
        if marks and first >= following and marks[-1][0] >= following:
            marks[:] = [[following, clock]]  # nothing waits, and nothing came
            return False
        if marks and (marks[-1][0] >= following or clock - marks[-1][1] < self._least_ms):
            return False
        marks.append([following, clock])
        if len(marks) > MARKS_MAX:
            del marks[1:-1:2]
        return True

    def oldest_ms(self, first: int, following: int, clock: int) -> int:
        """The age of the oldest message, at most; 0: there is none."""
        if first >= following:
            return 0
        at = next((at for number, at in reversed(self.marks) if number <= first), None)
        if at is None:
            at = self.marks[0][1] if self.marks else clock
        return max(0, clock - at)

    def below(self, most_ms: int, clock: int) -> int:
        """All messages below this number are older."""
        return max((number for number, at in self.marks if clock - at >= most_ms), default=0)
