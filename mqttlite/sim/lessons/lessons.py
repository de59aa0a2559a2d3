"""Named teaching scenarios: what each quality of service does when something goes wrong, with real client and broker.

    played = play("qos2-crash-after-pubrec")       # LessonError if it did not show what it says
    chart.page(played.world, title=played.lesson.title, ...)

Each has one seed, so it is the same run each time; a fault in it is placed at a packet, not at a time.
"""

from collections.abc import Callable
from typing import NamedTuple

from ..lines.serial import Fault, Frame
from ..world import World
from .stage import SERIAL, Claim, LessonError, Stage

__all__ = ["LESSONS", "Claim", "Lesson", "LessonError", "Played", "play"]

PAY = "pay 5"


class Lesson(NamedTuple):
    """A scenario: `text` explains it in plain sentences, `scene` plays it and says what it shows."""

    name: str
    title: str
    text: str
    seed: int
    scene: Callable[[Stage], None]
    needs: tuple[str, ...]  # modules from outside


class Played(NamedTuple):
    """A lesson that has been played. `begin`: when it began (ns); `claims`: what it has shown."""

    lesson: Lesson
    world: World
    begin: int
    claims: list[Claim]


LESSONS: dict[str, Lesson] = {}


def play(name: str) -> Played:
    """Play a lesson. KeyError: there is none of that name. LessonError: it does not show what it says.

    Needs apsw (`pip install 'mqttlite[sim]'`), and what the lesson says in `needs`.
    """
    lesson = LESSONS[name]
    stage = Stage(lesson.seed)
    try:
        lesson.scene(stage)
    finally:
        stage.close()
    return Played(lesson, stage.world, stage.begin, stage.claims)


def _lesson(
    name: str, title: str, *needs: str, seed: int = 11
) -> Callable[[Callable[[Stage], None]], Callable[[Stage], None]]:
    """Makes a lesson of a scene, whose docstring is what the lesson's readers get to read."""

    def keep(scene: Callable[[Stage], None]) -> Callable[[Stage], None]:
        LESSONS[name] = Lesson(name, title, " ".join((scene.__doc__ or "").split()), seed, scene, ("apsw", *needs))
        return scene

    return keep


@_lesson("qos0-lost", "QoS 0: at most once, and nobody notices")
def _qos0_lost(stage: Stage) -> None:
    """The connection breaks while the first payment is on its way. At QoS 0 nothing is acknowledged and nothing
    is kept, so there is nothing to send again, and neither end can tell that a message is missing. The second
    one gets through.
    """
    stage.broker()
    stage.consumer()
    stage.cut("PUBLISH", "device", "broker", "inside")
    stage.device(["pay 5", "pay 7"], 0)
    stage.end(lambda: "pay 7" in stage.charged, "the second message arrives")
    stage.shows("both publish calls returned, yet only the second payment was charged", stage.charged == ["pay 7"])
    stage.shows("two PUBLISH packets in all: nothing was sent again", stage.count("PUBLISH", "device", "broker") == 2)


@_lesson("qos1-duplicate-after-lost-puback", "QoS 1: a lost PUBACK makes a duplicate")
def _qos1_duplicate(stage: Stage) -> None:
    """The broker has the message and passes it on, but its PUBACK is lost with the connection. The device cannot
    know whether the message or the answer was lost, so it sends it again, marked DUP. At least once means:
    here, twice.
    """
    stage.broker()
    stage.consumer(1)
    stage.cut("PUBACK", "broker", "device", "before")
    stage.device([PAY], 1)
    stage.end(lambda: len(stage.charged) == 2 and stage.confirmed == [PAY], "the repeat arrives and is confirmed")
    stage.shows("one payment, charged twice", stage.charged == [PAY, PAY])
    stage.shows("nothing was lost, and the device knows it", stage.confirmed == [PAY])


@_lesson("qos1-no-loss-after-power-cut", "QoS 1: the power goes before anything was sent")
def _qos1_power_cut(stage: Stage) -> None:
    """publish has returned, so the message is synced to the device's disk: it is accepted. Then the device loses
    its power, before a single byte has left. Its next life finds the message in the store and sends it, with
    DUP, as it cannot know that it never did.
    """
    stage.broker()
    stage.consumer(1)
    stage.at("PUBLISH", "device", "broker", "before", stage.die("device", 2, power=True))
    stage.device([PAY], 1, store=True)
    stage.delivered()
    stage.shows("accepted before the power cut, delivered after it", stage.charged == [PAY])
    stage.shows("the device is in its second life", stage.world.processes["device"].life == 2)


@_lesson("qos2-happy", "QoS 2: the four-way handshake")
def _qos2_happy(stage: Stage) -> None:
    """Nothing goes wrong. PUBLISH and PUBREC hand the message over; PUBREL and PUBCOMP free its packet
    identifier. Each packet leaves only after what it announces is synced, so there is a commit before each of
    the device's. Watch the bands: until PUBREC arrives the device cannot know whether the message did.
    """
    stage.broker(durable=True)
    stage.consumer()
    stage.device([PAY], 2, store=True)
    stage.delivered()
    stage.shows("charged once", stage.charged == [PAY])
    stage.shows(
        "one PUBLISH, PUBREC, PUBREL and PUBCOMP each between device and broker",
        all(stage.count(kind, "device", "broker") == 1 for kind in ("PUBLISH", "PUBREL"))
        and all(stage.count(kind, "broker", "device") == 1 for kind in ("PUBREC", "PUBCOMP")),
    )


@_lesson("qos2-crash-after-pubrec", "QoS 2: a crash after PUBREC")
def _qos2_after_pubrec(stage: Stage) -> None:
    """PUBREC has arrived and the device has synced that the message is released; then it loses its power, before
    PUBREL has left. Its next life must not send PUBLISH again, as the broker may take that for a new message.
    It reads from its store that only PUBREL is missing, and sends that.
    """
    stage.broker(durable=True)
    stage.consumer()
    stage.at("PUBREL", "device", "broker", "before", stage.die("device", 2, power=True))
    stage.device([PAY], 2, store=True)
    stage.delivered()
    stage.shows("charged once", stage.charged == [PAY])
    stage.shows(
        "PUBLISH was sent once: the next life went on with PUBREL", stage.count("PUBLISH", "device", "broker") == 1
    )


@_lesson("qos2-crash-before-pubcomp", "QoS 2: a crash before PUBCOMP")
def _qos2_before_pubcomp(stage: Stage) -> None:
    """The device is killed right after PUBREL has left, so it never sees PUBCOMP. Its next life sends PUBREL
    again. The broker has long forgotten the identifier, and answers PUBCOMP all the same: an unknown PUBREL
    can only mean that all is done.
    """
    stage.broker(durable=True)
    stage.consumer()
    stage.at("PUBREL", "device", "broker", "after", stage.die("device", 2))
    stage.device([PAY], 2, store=True)
    stage.delivered()
    stage.shows("charged once", stage.charged == [PAY])
    stage.shows("PUBREL was sent twice, PUBLISH once", _sent(stage, "PUBREL") == 2 and _sent(stage, "PUBLISH") == 1)


@_lesson("qos2-consumer-dies-in-handler", "QoS 2 with an inbox: the consumer dies in its handler")
def _qos2_inbox(stage: Stage) -> None:
    """The handler has written its row and is killed before the commit, so the database rolls the row back, and
    PUBREC has not left: it would have announced something that is not durable. The broker sends the message
    again, the handler runs again, row and receipt are committed together, and only then PUBREC leaves. The
    effect happens once.
    """
    stage.broker()
    stage.consumer(inbox=True, dies_in_handler=True)
    stage.device([PAY], 2)
    stage.end(
        lambda: stage.count("PUBCOMP", "consumer", "broker") == 1 and stage.confirmed == [PAY], "the message is handled"
    )
    stage.shows("the handler ran twice", stage.notes("consumer", "handler runs") == 2)
    stage.shows("one row: the first one was rolled back", stage.charges() == [PAY])


@_lesson("qos2-consumer-dies-without-inbox", "QoS 2 without an inbox: the consumer dies in its handler")
def _qos2_no_inbox(stage: Stage) -> None:
    """The same death, but this handler does something outside of any transaction (it charges a card, it opens a
    valve), and dies right after it. QoS 2 is kept: the broker hands the message over once. The effect happens
    twice all the same, because effect and receipt are in two places. The repeat is flagged, so that the
    application can ask.
    """
    stage.broker()
    stage.consumer(dies_in_handler=True)
    stage.device([PAY], 2)
    stage.end(
        lambda: stage.count("PUBCOMP", "consumer", "broker") == 1 and stage.confirmed == [PAY], "the message is handled"
    )
    stage.shows("the effect happened twice", stage.charged == [PAY, PAY])
    stage.shows(
        "the second time, the message was flagged as a possible repeat",
        stage.notes("consumer", "handled") == 1 and stage.notes("consumer", "handled, flagged DUP") == 1,
    )


@_lesson("session-lost-in-doubt", "The broker forgets its session: in doubt")
def _session_lost(stage: Stage) -> None:
    """This broker keeps sessions in memory. It has answered PUBREC, then it is killed and comes back knowing
    nothing: CONNACK says that there is no session. To send the message again could double it, not to send it
    could lose it. The device does neither, and tells its application that the message is in doubt.
    """
    stage.broker()
    stage.consumer()
    stage.at("PUBREL", "device", "broker", "before", stage.die("broker", 1))
    stage.device([PAY], 2)
    stage.end(
        lambda: stage.doubted == [PAY] and stage.count("SUBACK", "broker", "consumer") == 2,
        "the application is told, and the consumer is back",
    )
    stage.shows("the application is told: in doubt", stage.doubted == [PAY])
    stage.shows("the message was not sent again", _sent(stage, "PUBLISH") == 1)


@_lesson("session-lost-with-key", "The broker forgets its session: a key settles it")
def _session_lost_with_key(stage: Stage) -> None:
    """The same loss, but both ends use keys=True: producer, epoch and number travel with the message. The device
    sends it again as a new message, because that cannot do harm: the consumer has seen the key, acknowledges
    the second copy and does not hand it to the application.
    """
    broker = stage.broker()
    stage.consumer(keys=True)
    # The consumer's session is lost, too: it has to be back before the repeat comes.
    world = stage.world
    world.network.on_connect = lambda host, _, __: (
        "refuse" if host == "device" and broker.life == 2 and world.reached["SUBACK broker to consumer"] < 2 else None
    )
    stage.at("PUBREL", "device", "broker", "before", stage.die("broker", 1))
    stage.device([PAY], 2, keys=True)
    stage.end(
        lambda: stage.confirmed == [PAY] and stage.count("PUBLISH", "broker", "consumer") == 2,
        "the repeat is confirmed and acknowledged",
    )
    stage.shows("the consumer got the message twice", stage.count("PUBLISH", "broker", "consumer") == 2)
    stage.shows("charged once", stage.charged == [PAY])
    stage.shows("nothing is in doubt", stage.doubted == [])


@_lesson("two-generals", "Two generals: the window of doubt never closes")
def _two_generals(stage: Stage) -> None:
    """Whoever sends the last packet cannot know whether it arrived. Here PUBCOMP is lost, and lost again, four
    times: each time the device is as unsure as before, and asks again. No number of acknowledgements would
    help. QoS 2 does not close the window; it makes asking again harmless.
    """
    times = 4
    stage.broker()
    stage.consumer()
    stage.cut("PUBCOMP", "broker", "device", "before", times=times)
    stage.device([PAY], 2)
    stage.end(lambda: stage.count("PUBCOMP", "broker", "device") == times, "all acknowledgements are lost")
    stage.shows("four times the last acknowledgement was lost, four times PUBREL was sent", _sent(stage, "PUBREL") == 4)
    stage.shows("the device still does not know", stage.confirmed == [])
    stage.shows("the payment was charged once, long ago", stage.charged == [PAY])


@_lesson("broker-power-cut-with-store", "The broker loses its power and nothing else")
def _broker_power_cut(stage: Stage) -> None:
    """The consumer is away, so the broker keeps the message for it, and acknowledges it. Then its power goes. PUBACK
    left only after the message and its place in the consumer's queue were synced, in one commit; so the next life has
    both. When the consumer comes back, it gets the message.
    """
    broker = stage.broker(durable=True)
    consumer = stage.consumer()
    consumer.kill()
    world = stage.world
    stage.on_confirmed = lambda: world.after(0.02, stage.die("broker", 2, power=True))
    stage.device([PAY], 1, store=True)
    world.after(4, consumer.start)
    stage.end(lambda: stage.charged != [], "the message is delivered")
    stage.shows("confirmed to the device before the power cut", stage.confirmed == [PAY])
    stage.shows("PUBLISH was sent once: nobody had to repeat it", _sent(stage, "PUBLISH") == 1)
    stage.shows("delivered by the broker's second life, once", stage.charged == [PAY] and broker.life == 2)


@_lesson("serial-line-unplugged", "A serial line loses a frame, then its adapter is pulled out", "serial")
def _serial_line(stage: Stage) -> None:
    """The device is on a serial line, the gateway carries it to the broker. The line eats the frame with the message,
    and the link sends it again. Then somebody pulls the gateway's adapter out, and plugs it in a second later: for MQTT
    a lost connection like any other, so the session goes on where it was. The payment is charged once.
    """
    stage.broker()
    stage.consumer()
    line = stage.gateway()
    frames: list[str] = []

    def on_frame(frame: Frame) -> Fault | bytes | None:
        if stage.begin and frame.kind == "DATA" and frame.way is line.ab:
            frames.append(frame.kind)
            if len(frames) == 1:
                return b""
            if len(frames) == 2:
                stage.world.after(1, line.b.plug)
                return Fault("after", line.b.unplug)
        return None

    line.on_frame = on_frame
    stage.device([PAY], 2, url=SERIAL)
    stage.delivered()
    stage.shows("the line ate a frame, and its adapter was away", len(frames) > 2 and line.b.plugged)
    stage.shows("charged once, and confirmed", stage.charged == [PAY])


def _sent(stage: Stage, kind: str) -> int:
    return stage.count(kind, "device", "broker")
