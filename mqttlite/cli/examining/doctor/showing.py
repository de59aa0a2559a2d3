"""What a step has found, as a line for people or as JSON; of a board and of this machine."""

import json
from typing import TYPE_CHECKING

from ...streams import one_line

if TYPE_CHECKING:
    from mqttlite_gateway.operating.doctor.finding import Finding

_MARKS = {"wrong": "WRONG"}  # where a state is not shown as it is called


def show(finding: "Finding", as_json: bool) -> None:
    """Print it."""
    if as_json:
        shown = {"step": finding.step, "state": finding.state, "text": finding.text, "todo": finding.todo}
        print(json.dumps({**shown, **finding.values}), flush=True)
        return
    print(f"{_MARKS.get(finding.state, finding.state):8}  {finding.step:8}  {one_line(finding.text)}", flush=True)
    if finding.todo:
        print(f"{'':20}to do: {one_line(finding.todo)}", flush=True)
