"""What the application does, tried on this computer: no board, no broker. Run `pytest` in the folder of app.py."""

import app

from mqttlite_board.trying import obey, published


def test_the_temperature_is_published_when_it_has_changed_by_half_a_degree() -> None:
    application = app.application({"every_s": 60})
    assert published(application, "temperature", [20.0, 20.3, 20.6, 20.6]) == [(0, 20.0), (120, 20.6)]


def test_the_temperature_is_published_once_an_hour_at_least() -> None:
    application = app.application({"every_s": 1800})
    assert published(application, "temperature", [20.0] * 5) == [(0, 20.0), (3600, 20.0), (7200, 20.0)]


def test_a_command_without_a_pin_is_answered_with_an_error() -> None:
    answer = obey(app.application({}), {"do": "blink", "id": 1})
    assert answer["id"] == 1
    assert "pin" in answer["error"] or "machine" in answer["error"]  # a computer has no pins
