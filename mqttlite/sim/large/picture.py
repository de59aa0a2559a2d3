"""The sequence chart of a large world: not of all of it, but of what a problem is about (subject.py)."""

from pathlib import Path

from ..chart import chart
from ..chart.events import Arrow, Story
from ..check.ledger import name_in
from .focus import focus
from .large import Large
from .subject import Subject

MOST = 150  # events that are drawn: a few screens
AFTER_LOSS = 12  # faults and connections after the last that was seen of a message that is lost
AFTER = 2  # the same when it has come to its end


def write(path: Path, run: Large, subject: Subject, problems: list[str], command: str) -> None:
    """As chart.write, of a world that has run with its trace kept. `command`: what repeats the run."""
    story = Story(run.world.trace)
    entry = run.ledger.entries.get(subject.message)

    def is_about(arrow: Arrow) -> bool:
        if entry is None:
            return False
        topic = arrow.topic.removeprefix("b/")
        return name_in(topic, arrow.start.encode()) == entry.known_by

    is_lost = any(word in problem for problem in problems for word in ("lost", "missing", "deliveries at"))
    after = AFTER_LOSS if is_lost else AFTER
    left_out = focus(story, subject, is_about if entry else None, run.trouble.happened, after, MOST)
    what = f"message “{subject.message}”" if subject.message else "what its processes say to each other"
    lanes = ", ".join(subject.lanes)
    text = f"Of this world only {what} is drawn, on the lanes {lanes}, with the faults that hit them."
    if left_out:
        text += f" To keep it readable, {left_out} events of these lanes are left out."
    title = f"large world, seed {run.seed}" + (f": {subject.message}" if subject.message else "")
    chart.write(
        path,
        run.world,
        title=title,
        text=text,
        command=command,
        claims=[(problem, False) for problem in problems[:5]] or [("All that was promised holds.", True)],
        since=story.events[0].at if story.events else 0,
        lanes=subject.lanes,
        story=story,
    )
