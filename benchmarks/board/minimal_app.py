"""The least application, for benchmarks.board_program: a reading at QoS 2 as often as the settings say."""

from mqttlite_board.api import Application


def read():
    return 21.5


def application(options):
    app = Application(queue=options["queue"])
    app.measure("t", read, every_s=options["every_ms"] / 1000, qos=2)
    return app
