"""A DHT11 or DHT22 (AM2302): temperature and humidity on one wire. It measures every two seconds at most.

from mqttlite_board.sensors.dht import Dht
air = Dht(4)                                            # Dht(4, "DHT11"); 10 kΩ between pin and 3.3 V
app.measure("air", air.read, every_s=60, change=0.5)    # {"celsius": 21.4, "humidity": 48.2}
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KINDS = ("DHT22", "DHT11")


class Dht:
    """`kind`: DHT22, which an AM2302 is, too, or DHT11."""

    def __init__(self, pin: int, kind: str = "DHT22") -> None:
        if kind not in KINDS:
            raise ValueError("%s: there are DHT22 and DHT11" % kind)
        self._pin = pin
        self._kind = kind
        self._sensor: "Any" = None

    def read(self) -> "dict[str, float]":
        """In °C and % of relative humidity. ValueError: it does not answer, or what it says is damaged."""
        import dht
        from machine import Pin

        where = "%s on pin %s: " % (self._kind, self._pin)
        if self._sensor is None:
            self._sensor = getattr(dht, self._kind)(Pin(self._pin))
        try:
            self._sensor.measure()
        except OSError:  # ETIMEDOUT
            raise ValueError(where + "no answer; is it powered, and 10 kΩ between the pin and 3.3 V?") from None
        except Exception as error:
            if "checksum" not in str(error):
                raise
            raise ValueError(where + "what it says is damaged (checksum)") from None
        celsius = self._sensor.temperature()
        humidity = self._sensor.humidity()
        if not (-40 <= celsius <= 80 and 0 <= humidity <= 100):
            other = KINDS[1 - KINDS.index(self._kind)]
            raise ValueError(where + "%s °C, %s %% cannot be: is it a %s?" % (celsius, humidity, other))
        return {"celsius": celsius, "humidity": humidity}
