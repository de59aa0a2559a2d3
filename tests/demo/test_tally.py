"""What the demo counts, and what it shows of it."""

import io

import pytest

from mqttlite.cli.demo.table import Screen, progress, summary, table
from mqttlite.cli.demo.tally import Tally


def kept() -> Tally:
    """Two boards that have sent three messages at each QoS, and all arrived once."""
    tally = Tally(["one", "two"])
    for board in tally.boards.values():
        board.finished = True
        for flow in board.flows.values():
            for number in (1, 2, 3):
                flow.arrived(number)
    return tally


def test_nothing_is_broken_when_everything_arrived_once() -> None:
    assert kept().broken_promises() == []


def test_qos_0_may_lose_and_repeat_and_qos_1_may_repeat() -> None:
    tally = kept()
    tally.boards["one"].flows[0].sent = 9
    tally.boards["one"].flows[0].arrived(2)
    tally.boards["one"].flows[1].arrived(2)
    assert tally.broken_promises() == []
    assert (tally.totals()[0].missing, tally.totals()[1].duplicated) == (6, 1)


@pytest.mark.parametrize("qos", [1, 2])
def test_a_loss_at_qos_1_or_2_is_a_broken_promise(qos: int) -> None:
    tally = kept()
    tally.boards["two"].flows[qos].sent = 5
    assert tally.broken_promises() == [f"two lost 2 messages at QoS {qos}"]


def test_a_repeat_at_qos_2_is_a_broken_promise() -> None:
    tally = kept()
    tally.boards["one"].flows[2].arrived(3)
    assert tally.broken_promises() == ["one: 1 messages twice at QoS 2"]


@pytest.mark.parametrize("qos", [1, 2])
def test_a_wrong_order_of_first_deliveries_is_a_broken_promise(qos: int) -> None:
    tally = kept()
    for number in (5, 4):
        tally.boards["one"].flows[qos].arrived(number)
    assert tally.broken_promises() == [f"one: 1 messages out of order at QoS {qos}"]


def test_a_board_that_sent_nothing_or_did_not_report_is_a_broken_promise() -> None:
    tally = Tally(["one"])
    assert tally.broken_promises() == [
        "one did not report its counts",
        "nothing arrived from one at QoS 1",
        "nothing arrived from one at QoS 2",
    ]


def test_what_is_missing_is_under_way_until_the_end_and_lost_then() -> None:
    tally = kept()
    tally.boards["one"].flows[2].sent = 5
    row = 4  # head, rule, then three of board one
    assert table(tally, final=False)[row][1].split()[-4:] == ["3", "2", "0", "0"]
    style, text = table(tally, final=True)[row]
    assert text.split()[-4:] == ["3", "0", "2", "0"]
    assert style


def test_the_table_fits_a_terminal_of_100_columns() -> None:
    tally = kept()
    for board in tally.boards.values():
        board.line_errors, board.round_trips_ms = 99999, [1234.0]
        for flow in board.flows.values():
            flow.sent = 99999
    assert max(len(text) for _, text in table(tally, final=True)) < 100


def test_there_is_one_summary_line_for_each_qos() -> None:
    lines = [text for _, text in summary(kept())]
    assert [line for line in lines if line.startswith("QoS")] == [
        "QoS 0  at most once:  sent 6, received 6, lost 0, twice 0",
        "QoS 1  at least once: sent 6, received 6, lost 0, twice 0",
        "QoS 2  exactly once:  sent 6, received 6, lost 0, twice 0",
    ]


def test_progress_is_a_bar_that_fills() -> None:
    assert progress(0, 30, "now").count("█") == 0
    assert progress(15, 30, "now").count("█") == 15
    assert progress(99, 30, "now") == "█" * 30 + "  30 of 30 s  now"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_the_table_drawn_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    screen = Screen(kept(), 10, stream)
    screen.show(0, "go")
    height = stream.getvalue().count("\n")
    screen.show(1, "go")
    assert f"\x1b[{height}A" in stream.getvalue()
    assert "\x1b[1mboard" in stream.getvalue()


@pytest.mark.parametrize("size", [("40", "100"), ("100", "5")])
def test_a_small_terminal_is_not_spoilt(monkeypatch: pytest.MonkeyPatch, size: tuple[str, str]) -> None:
    monkeypatch.setenv("COLUMNS", size[0])
    monkeypatch.setenv("LINES", size[1])
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    screen = Screen(kept(), 10, stream)
    for elapsed in range(10):
        screen.show(elapsed, "go")
    if size[0] == "40":
        assert max(len(line.removesuffix("\x1b[K")) for line in stream.getvalue().split("\n") if "A" not in line) < 40
    else:
        assert stream.getvalue().count("received QoS 0") == 2


def test_without_a_terminal_there_are_plain_lines_only() -> None:
    stream = io.StringIO()
    screen = Screen(kept(), 20, stream)
    for elapsed in range(20):
        screen.show(elapsed, "go")
    screen.finish()
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().count(" s  received QoS 0 6 of 6, QoS 1 6 of 6, QoS 2 6 of 6; 0 frames repaired\n") == 4
