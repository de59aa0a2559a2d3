"""Charts: what they read out of a trace, where they put it, and that a real browser shows them as meant."""

import html
import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from mqttlite.core.codec import acknowledgement, packet, publish_head, repeated
from mqttlite.core.keys import wrap
from mqttlite.sim.chart import chart
from mqttlite.sim.chart.events import Arrow, Story
from mqttlite.sim.chart.layout import Layout, clock, duration
from mqttlite.sim.lessons.lessons import LESSONS, Played, play
from mqttlite.sim.net.packets import NAMES
from mqttlite.sim.world import World
from tests import runtimes
from tests.peers import unavailable

MS = 1_000_000
SVG = "{http://www.w3.org/2000/svg}"
UP, DOWN = "device:1-broker:1883 up", "device:1-broker:1883 down"
Entry = tuple[int, str, str, str | bytes]


def publish(payload: bytes = b"x", qos: int = 1, packet_id: int = 7) -> bytes:
    return packet_with(publish_head(qos << 1, b"t", len(payload)), packet_id if qos else 0, payload)


def packet_with(head: bytes, packet_id: int, payload: bytes) -> bytes:
    return head + (packet_id.to_bytes(2, "big") if packet_id else b"") + payload


PUBACK = acknowledgement(0x40, 7)
PUBREC = acknowledgement(0x50, 7)
PUBREL = acknowledgement(0x62, 7)
PUBCOMP = acknowledgement(0x70, 7)
CONNACK_NEW = packet(0x20, b"\0\0")
STARTS: list[Entry] = [(0, "device", "start", "1"), (0, "broker", "start", "1")]


def carried(at: int, way: str, data: bytes, took: int = 2 * MS) -> list[Entry]:
    return [(at, way, "write", data), (at + took, way, "arrive", str(len(data)))]


def arrows(story: Story) -> list[Arrow]:
    return [event for event in story.events if isinstance(event, Arrow)]


# -- reading


def test_a_packet_is_an_arrow_that_ends_when_its_last_byte_has_arrived() -> None:
    data = publish(b"hello", 2)
    pieces: list[Entry] = [(2 * MS, UP, "arrive", "3"), (5 * MS, UP, "arrive", str(len(data) - 3))]
    story = Story([*STARTS, (MS, UP, "write", data), *pieces])
    (arrow,) = arrows(story)
    assert (arrow.lane, arrow.to, arrow.at, arrow.arrived) == ("device", "broker", MS, 5 * MS)
    assert arrow.label == "PUBLISH 7 QoS 2 “hello”"


def test_packets_of_one_write_and_one_packet_of_many_writes_are_told_apart() -> None:
    both = PUBACK + publish(b"long" * 50)
    cut = len(both) - 60
    written: list[Entry] = [(1, UP, "write", both[:cut]), (2, UP, "write", both[cut:])]
    arrived: list[Entry] = [(MS, UP, "arrive", "4"), (9 * MS, UP, "arrive", str(len(both) - 4))]
    story = Story([*STARTS, *written, *arrived])
    assert [(one.kind, one.arrived) for one in arrows(story)] == [("PUBACK", MS), ("PUBLISH", 9 * MS)]


def test_a_repeat_and_a_key_can_be_seen() -> None:
    payload = wrap((b"till", 3, 8), b"5 EUR")
    head = repeated(publish_head(2, b"t", len(payload)))
    story = Story([*STARTS, *carried(0, UP, packet_with(head, 7, payload))])
    (arrow,) = arrows(story)
    assert arrow.is_repeat and arrow.label == "PUBLISH 7 QoS 1 DUP +key “5 EUR”"
    assert "key till/3/8" in arrow.detail


def test_an_mqtt_5_payload_is_shown_without_its_properties() -> None:
    connect = packet(0x10, b"\0\4MQTT\5\2\0\0\0\0\1x")
    message = packet(0x30, b"\0\1t", b"\0", b"hi")
    story = Story([*STARTS, *carried(0, UP, connect), *carried(9, UP, message)])
    assert arrows(story)[1].label == "PUBLISH QoS 0 “hi”"


def test_a_packet_that_a_cut_swallows_is_lost_and_says_why() -> None:
    story = Story([*STARTS, (MS, UP, "write", publish()), (MS, "device:1-broker:1883", "cut", "reset")])
    (arrow,) = arrows(story)
    assert arrow.arrived < 0 and arrow.why == "the connection was cut (reset)" and not arrow.stays


def test_a_packet_whose_sender_dies_at_that_moment_never_leaves() -> None:
    story = Story([*STARTS, (MS, UP, "write", publish()), (MS, "device", "power cut", "1")])
    (arrow,) = arrows(story)
    assert arrow.stays and arrow.why == "device: power cut"
    assert story.lives[0].end == MS


def test_a_packet_that_arrives_after_the_death_of_its_sender_is_not_lost() -> None:
    story = Story([*STARTS, (MS, UP, "write", PUBACK), (MS, "device", "kill", "1"), (3 * MS, UP, "arrive", "4")])
    (arrow,) = arrows(story)
    assert arrow.arrived == 3 * MS and not arrow.why and not arrow.stays


def test_bytes_that_are_not_mqtt_are_shown_as_bytes() -> None:
    story = Story([*STARTS, *carried(0, UP, b"\xff\xff\xff\xff\xff\xff")])
    assert [(one.label, one.arrived) for one in arrows(story)] == [("6 bytes", 2 * MS)]


def test_what_was_written_since_the_last_sync_is_one_commit() -> None:
    disk: list[Entry] = [(1, "device disk", "write", "a-wal 0+24"), (2, "device disk", "write", "a-wal 24+4096")]
    story = Story([*STARTS, *disk, (3, "device disk", "sync", "a-wal"), (4, "device disk", "write", "a-wal 0+1")])
    (commit,) = [event for event in story.events if event.group == "disk" and event.is_drawn]
    assert (commit.label, commit.detail) == ("commit", "a-wal: 2 operations, 4120 bytes")
    assert story.disks == {"device"}


def test_the_sender_is_unsure_from_publish_to_puback_over_all_repeats() -> None:
    dup = packet_with(repeated(publish_head(2, b"t", 1)), 7, b"x")
    trace = [(0, UP, "write", publish()), *carried(MS, UP, dup), *carried(4 * MS, DOWN, PUBACK)]
    (band,) = Story([*STARTS, *trace]).bands
    assert (band.lane, band.kind, band.begin, band.end) == ("device", "sent", 0, 6 * MS)
    assert (band.sends, band.resolved) == (2, "PUBACK")


def handshake(*more: Entry) -> Story:
    return Story([*STARTS, *carried(0, UP, publish(qos=2)), *carried(3 * MS, DOWN, PUBREC), *more])


def test_qos_2_has_two_windows_one_after_the_other() -> None:
    story = handshake(*carried(5 * MS, UP, PUBREL), *carried(7 * MS, DOWN, PUBCOMP))
    assert [(band.kind, band.begin, band.end) for band in story.bands] == [
        ("sent", 0, 5 * MS),
        ("released", 5 * MS, 9 * MS),
    ]


def test_a_session_that_is_lost_leaves_a_released_message_in_doubt_until_the_application_decides() -> None:
    lost = carried(10 * MS, DOWN, CONNACK_NEW)
    assert [(band.kind, band.end) for band in handshake(*lost).bands][-1] == ("doubt", -1)
    story = handshake(*lost, (20 * MS, "device", "settled", "x"))
    assert (story.bands[-1].end, story.bands[-1].resolved) == (20 * MS, "the application has decided")


def test_a_message_in_doubt_that_is_sent_again_begins_a_new_window() -> None:
    story = handshake(*carried(10 * MS, DOWN, CONNACK_NEW), *carried(15 * MS, UP, publish(qos=2, packet_id=9)))
    assert [(band.kind, band.begin, band.end) for band in story.bands[2:]] == [
        ("doubt", 12 * MS, 15 * MS),
        ("sent", 15 * MS, -1),
    ]


def test_lanes_stand_as_messages_flow_and_not_as_processes_were_started() -> None:
    starts: list[Entry] = [(0, name, "start", "1") for name in ("broker", "consumer", "device", "idle")]
    down = "consumer:2-broker:1883 down"
    story = Story([*starts, *carried(0, down, publish(qos=0)), *carried(9, UP, publish(qos=0))])
    assert story.lanes == ["device", "broker", "consumer", "idle"]


def test_frames_on_a_serial_line_are_arrows_and_those_that_noise_eats_are_lost() -> None:
    way = "device:/dev/ttyUSB0 to gateway"
    story = Story(
        [
            (0, "device:/dev/ttyUSB0", "open", "115200"),
            *[(at * MS, way, "DATA", "30") for at in (1, 101, 201)],
            (4 * MS, way, "arrive", "30"),
            (204 * MS, way, "arrive", "29"),
            (300 * MS, "device", "end", "1"),
        ]
    )
    assert [(one.arrived // MS if one.arrived > 0 else one.why) for one in arrows(story)] == [
        4,
        "noise, or nobody listened",
        204,
    ]


# -- placing


@pytest.fixture(scope="module")
def lesson() -> Callable[[str], Played]:
    """Plays lessons, each once."""
    played: dict[str, Played] = {}
    return lambda name: played.get(name) or played.setdefault(name, play(name))


def layout_of(played: Played) -> Layout:
    story = Story(played.world.trace)
    story.since(played.begin)
    return Layout(story, played.begin)


@pytest.mark.parametrize("name", LESSONS)
def test_what_is_later_is_lower_and_all_of_it_is_inside(name: str, lesson: Callable[[str], Played]) -> None:
    layout = layout_of(lesson(name))
    points = sorted(
        [(one.event.at, one.event.order, one.y) for one in layout.events]
        + [
            (one.event.arrived, one.event.arrival_order, one.y2)
            for one in layout.events
            if isinstance(one.event, Arrow) and one.event.arrived >= 0
        ]
    )
    assert [y for *_, y in points] == sorted(y for *_, y in points)
    assert all(0 < y < layout.height for *_, y in points)
    assert all(0 < one.x < layout.width for one in layout.events)


def test_idle_time_is_pressed_together_and_said() -> None:
    late = 3_600_000 * MS
    story = Story([*STARTS, *carried(0, UP, publish(qos=0)), *carried(late, UP, publish(qos=0))])
    layout = Layout(story, 0)
    assert layout.height < 300
    assert [gap.ns for gap in layout.gaps] == [late - 2 * MS]


def test_times_and_durations_are_said_as_people_do() -> None:
    assert [clock(ns) for ns in (0, 12_345_678, 2_076_000_000, 3_723_400_000_000)] == [
        "0.0 ms", "12.3 ms", "2.076 s", "1:02:03.4",
    ]  # fmt: skip
    assert [duration(ns) for ns in (850_000, 3_100_000, 2_080_000_000, 300 * 10**9)] == [
        "850 µs", "3.1 ms", "2.08 s", "5 min",
    ]  # fmt: skip


# -- drawing


@pytest.mark.parametrize("name", LESSONS)
def test_the_svg_is_well_formed_and_every_packet_is_in_it(name: str, lesson: Callable[[str], Played]) -> None:
    played = lesson(name)
    root = ElementTree.fromstring(chart.svg(played.world, title=played.lesson.title, since=played.begin))
    drawn = [
        (group.findtext(f"{SVG}title") or "").split()[0]
        for group in root.iter(f"{SVG}g")
        if group.get("data-group") in ("message", "ack", "connection") and group.find(f"{SVG}path") is not None
    ]
    written = [entry[2] for entry in played.world.trace if entry[0] >= played.begin and entry[2] in NAMES]
    assert sorted(drawn) == sorted(written) != []


def page_of(played: Played) -> str:
    name = played.lesson.name
    return chart.page(
        played.world,
        title=played.lesson.title,
        text=played.lesson.text,
        command=f"mqttlite simulate --explain {name}",
        claims=played.claims,
        since=played.begin,
    )


def test_a_page_needs_nothing_but_itself(lesson: Callable[[str], Played]) -> None:
    page = page_of(lesson("qos2-happy"))
    assert not re.search(r"https?:|//[a-z]|<link|<img|@import|url\(|\bsrc=", page)


def test_what_a_payload_says_is_text_and_nothing_else() -> None:
    world = World(1)
    world.trace = [*STARTS, *carried(0, UP, publish(b"<script>alert(1)//&", 0)), (1, "device", "<b>", "</svg>")]
    for text in (chart.page(world, title="<i>", text="$title", command="a < b"), chart.svg(world, title="<i>")):
        assert "<script>alert" not in text and "<b>" not in text.replace("<b>1</b>", "") and "<i>" not in text
        assert "&lt;script&gt;alert(1)//&amp;" in text


def test_of_a_long_trace_the_end_is_shown_and_the_rest_is_counted() -> None:
    world = World(1)
    world.trace = list(STARTS)
    for number in range(chart.EVENTS_MAX + 1):
        world.trace += carried((number + 1) * MS, UP, publish(b"%d" % number, 0), MS // 2)
    page = chart.page(world, title="long")
    assert f"“{chart.EVENTS_MAX}”" in page and "“0”" not in page
    assert "The first 3 events are left out." in page


def test_a_world_without_any_event_still_makes_a_page() -> None:
    assert "<svg" in chart.page(World(1), title="empty")


# -- in a browser

BROWSERS = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")


def asked(page: str, script: str, size: str = "1400,1000") -> dict[str, Any]:
    """What a script finds out in a page that Chromium has opened; `answer` is what it fills in."""
    chromium = next(filter(None, map(runtimes.installed, BROWSERS)), None) or unavailable("Chromium")
    script = f"<script>const answer = {{}};try {{ {script} }} catch (error) {{ answer.error = String(error) }}" + (
        "const out = document.createElement('pre'); out.id = 'answer'; out.textContent = JSON.stringify(answer);"
        "document.body.append(out)</script>"
    )
    with tempfile.TemporaryDirectory(prefix="mqttlite-chromium-", ignore_cleanup_errors=True) as folder:
        file = Path(folder, "page.html")
        file.write_text(page.replace("</body>", script + "</body>"), encoding="utf-8")
        result = subprocess.run(
            [
                chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                f"--user-data-dir={folder}/profile", f"--window-size={size}", "--dump-dom", file.as_uri(),
            ],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
    found = re.search(r'<pre id="answer">(.*?)</pre>', result.stdout, re.S)
    assert found, result.stdout[-2000:]
    answer: dict[str, Any] = json.loads(html.unescape(found[1]))
    assert "error" not in answer, answer
    return answer


def test_the_browser_draws_every_arrow_and_filters_hide_them(lesson: Callable[[str], Played]) -> None:
    answer = asked(
        page_of(lesson("qos2-crash-after-pubrec")),
        """
        const count = what => [...document.querySelectorAll(what)].filter(one => one.getClientRects().length).length;
        const toggle = what => { document.querySelector(`input[data-${what}]`).click(); };
        answer.before = [count(".body .message .wire"), count(".body .ack .wire"), count("tr[data-group=message]")];
        toggle("group=message");
        answer.without = [count(".body .message .wire"), count(".body .ack .wire"), count("tr[data-group=message]")];
        toggle("group=message");
        toggle("lane=consumer");
        answer.apart = [count(".body .message .wire"), count("[data-lanes~=consumer]"), +document.body.dataset.shown];
        toggle("lane=consumer");
        answer.after = [count(".body .message .wire"), count(".body .ack .wire"), count("tr[data-group=message]")];
        answer.lost = count(".lost .cross");
        answer.rows = count("#list tr");
        """,
    )
    # Two PUBLISH; PUBREC, PUBREL, PUBCOMP to the broker and to the consumer, and the PUBREL that was lost.
    assert answer["before"] == answer["after"] == [2, 7, 2]
    assert answer["without"] == [0, 7, 0]
    assert answer["apart"][:2] == [1, 0] and 0 < answer["apart"][2] < answer["rows"]
    assert answer["lost"] == 1


def test_touching_an_arrow_tells_of_it_and_finds_its_row(lesson: Callable[[str], Played]) -> None:
    answer = asked(
        page_of(lesson("qos1-duplicate-after-lost-puback")),
        """
        const arrow = document.querySelector(".it.ack.lost"), tip = document.getElementById("tip");
        answer.hidden = tip.hidden;
        arrow.dispatchEvent(new PointerEvent("pointermove", {clientX: 300, clientY: 300}));
        answer.tip = tip.textContent;
        answer.shown = tip.getClientRects().length;
        answer.rows = [...document.querySelectorAll("tr.at")].map(row => row.textContent);
        arrow.dispatchEvent(new PointerEvent("pointerleave"));
        answer.left = [tip.hidden, document.querySelectorAll(".at").length];
        """,
    )
    assert answer["hidden"] is True and answer["shown"] == 1
    assert "broker → device, lost: the connection was cut (reset)" in answer["tip"]
    (row,) = answer["rows"]
    assert "PUBACK" in row and "lost" in row
    assert answer["left"] == [True, 0]


def overlaps(boxes: Iterable[list[Any]]) -> list[tuple[str, str]]:
    """Which of (words, left, top, right, bottom) lie on one another by more than a hair."""
    found = []
    boxes = list(boxes)
    for number, one in enumerate(boxes):
        for other in boxes[number + 1 :]:
            wide = min(one[3], other[3]) - max(one[1], other[1])
            high = min(one[4], other[4]) - max(one[2], other[2])
            if wide > 2 and high > 4:
                found.append((one[0], other[0]))
    return found


def frame(page: str, width: int = 1400) -> str:
    return f'<iframe style="width:{width}px;height:800px" srcdoc="{html.escape(page, quote=True)}"></iframe>'


def test_no_words_lie_on_others_with_the_fonts_of_a_real_browser(lesson: Callable[[str], Played]) -> None:
    answer = asked(
        "<body>" + "".join(frame(page_of(lesson(name))) for name in LESSONS) + "</body>",
        """
        window.onload = () => {
          const found = [...document.querySelectorAll("iframe")].map(frame => {
            const root = frame.contentDocument, chart = root.querySelector(".body").getBoundingClientRect();
            const words = [...root.querySelectorAll(".body .it text, .body .time")].map(text => {
              const box = text.getBoundingClientRect();
              return [text.textContent, box.left, box.top, box.right, box.bottom];
            });
            const inside = one => one[1] >= chart.left && one[3] <= chart.right && one[4] <= chart.bottom;
            return {words, out: words.filter(one => !inside(one))};
          });
          document.getElementById("answer").textContent = JSON.stringify({found});
        };
        """,
    )
    for name, found in zip(LESSONS, answer["found"], strict=True):
        assert len(found["words"]) > 10, name
        assert not overlaps(found["words"]), name
        assert not found["out"], name


def test_a_phone_scrolls_the_chart_and_not_the_page(lesson: Callable[[str], Played]) -> None:
    answer = asked(
        f"<body>{frame(page_of(lesson('broker-power-cut-with-store')), 390)}</body>",
        """
        window.onload = () => {
          const view = document.querySelector("iframe"), root = view.contentDocument.documentElement;
          const box = root.querySelector(".scroll"), list = root.querySelector(".side").getBoundingClientRect();
          document.getElementById("answer").textContent = JSON.stringify({
            page: root.scrollWidth, width: view.contentWindow.innerWidth,
            scrolls: box.scrollWidth > box.clientWidth, left: list.left, right: list.right,
          });
        };
        """,
    )
    assert answer["page"] <= answer["width"] <= 390
    assert answer["scrolls"] is True
    assert 0 <= answer["left"] < answer["right"] <= 390
