"""Bugs in rooms that no simulated world goes through (the page, ports, sinks, the bus, installing), each with the test
that fails while it is planted: a bug that no test minds is one that may come.

A new one is an entry here and a row in docs/mutations.md.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from mqttlite.broker.clients.queue import Queue
from mqttlite.broker.operating.actions import Actions
from mqttlite.broker.queues.depot import Depot
from mqttlite.broker.routing.means import Means
from mqttlite.broker.sessions.wills import Wills
from mqttlite.link.bus.addressed import AddressedLink
from mqttlite.link.bus.device import BusDevice
from mqttlite.link.bus.station import Station
from mqttlite.serial import ports as serial_ports
from mqttlite_gateway.lines.ports import Ports
from mqttlite_gateway.operating.install import installing, step
from mqttlite_gateway.page.crowd import Crowd
from mqttlite_gateway.page.door import Door
from mqttlite_gateway.page.topics import InsideTopics
from mqttlite_gateway.sinks.uplink import SinkUplink
from tests.broker.access import test_new_rules
from tests.broker.operating import test_control
from tests.broker.queues import test_named_queues
from tests.gateway import test_install, test_ports
from tests.gateway.page import test_door, test_streams
from tests.gateway.sinks import test_uplink
from tests.link import test_bus

from .planting import Change, text


class Planted(NamedTuple):
    """`test`: the one that has to fail."""

    change: Change
    test: Callable[..., Any]


ROOMS = {
    "a reader of the page may act": Planted(
        text(Door._refusal, {"if not visitor.may_act and": "if False and"}),
        test_door.test_a_reader_looks_and_changes_nothing,
    ),
    "the page shows what its user may not receive": Planted(
        text(InsideTopics.watch, {"if self._guard.may(identity, RECEIVE, taken.topic.encode()):": "if taken:"}),
        test_door.test_the_rules_of_the_broker_say_what_may_be_watched_and_published,
    ),
    "a watch has the groups of its beginning": Planted(
        text(InsideTopics._as_now, {"if groups == identity.groups else": "if True else"}),
        test_door.test_who_leaves_a_group_is_shown_no_more_of_what_that_may_receive,
    ),
    "a rule means the port of a bus, too": Planted(
        text(Ports._wanted, {"(*wanted, *self._but)": "wanted"}),
        test_ports.test_a_rule_never_means_the_port_of_a_bus,
    ),
    "a serial port is open to everybody else": Planted(
        text(serial_ports._open_serial, {"fcntl.ioctl(fd, termios.TIOCEXCL)": "pass"}),
        test_ports.test_a_serial_port_is_locked_against_programs_that_know_of_no_lock,
    ),
    "a sink's queue forgets what the sink was only given": Planted(
        text(
            SinkUplink._deliver,
            {"sent += len(batch)": "sent += len(batch); [inside.acknowledge(each.origin) for each in batch]"},
        ),
        test_uplink.test_what_the_sink_has_not_settled_comes_again_in_its_order_with_its_name,
    ),
    "a message has another name for the sink after a restart": Planted(
        text(SinkUplink.prepare, {"if not is_there or not self._kept.met:": "if True:"}),
        test_uplink.test_what_was_written_and_not_said_comes_again_under_the_same_name_over_a_restart,
    ),
    "what a sink refuses is gone": Planted(
        text(SinkUplink._set_aside, {"self._dead.set_aside(letter, why)": "pass"}),
        test_uplink.test_a_refused_message_is_set_aside_durably_and_holds_up_no_other,
    ),
    "a silent device on a bus is asked as often as any other": Planted(
        text(Station.has_missed, {"self.due = now + self.wait_ms": "self.due = now"}),
        test_bus.test_the_dead_cost_the_living_little,
    ),
    "a frame on a bus counts for whoever hears it": Planted(
        text(
            AddressedLink.__init__,
            {"bytes((address, direction))": "b''", "bytes((address, direction ^ FROM_DEVICE))": "b''"},
        ),
        partial(test_bus.test_a_frame_counts_for_one_address_and_direction_whatever_bit_is_wrong, 0),
    ),
    "a device on a bus answers too late": Planted(
        text(BusDevice.receive, {"if self._behind > _JUNK:": "if False:"}),
        test_bus.test_a_device_that_comes_too_late_does_not_speak,
    ),
    "installing writes over the owner's settings": Planted(
        text(step.file, {"if keep and path.exists():": "if False:"}),
        test_install.test_twice_it_does_nothing_and_settings_of_the_owner_stay,
    ),
    "a dry run is none": Planted(
        text(installing._all, {"if not is_dry:": "if True:"}),
        test_install.test_a_dry_run_says_all_of_it_and_changes_nothing,
    ),
    "one address keeps all others out of the page": Planted(
        text(Crowd.has_room, {"min(most, key=self._worth).abort()": "return False"}),
        test_streams.test_an_address_with_very_many_connections_keeps_nobody_else_out,
    ),
    "what is taken away from a consumer ends with its PUBCOMP": Planted(
        text(Queue.withdraw, {"if self.on_finished:": "if False:"}),
        test_new_rules.test_who_gets_what_another_consumer_may_have_handled_at_qos_2_is_told_so,
    ),
    "a will from before there were rules is not checked": Planted(
        text(Wills._publish, {"if not (self._guard().is_open or source_of(will.extra)):": "if False:"}),
        test_new_rules.test_a_will_of_before_there_were_rules_is_its_sessions_and_goes_out_if_that_may_publish_it,
    ),
    "what cannot be queued again is dropped": Planted(
        text(Actions._retry, {"self._cannot_be_last(client, seq)": "''"}),
        test_control.test_retry_leaves_a_message_where_it_is_when_there_is_no_room_behind_the_others,
    ),
    "a queue takes the room of all others": Planted(
        text(Means.is_full, {"held + cost > bound // max(1, self.count)": "True"}),
        partial(test_named_queues.test_a_queue_that_has_all_the_room_that_there_is_costs_others_no_message, "queue"),
    ),
    "a user makes all queues that there may be": Planted(
        text(Depot._lacks_room, {"if user and 2 * own >= most else": "if False else"}),
        test_named_queues.test_no_user_makes_more_than_half_of_all_queues,
    ),
}
