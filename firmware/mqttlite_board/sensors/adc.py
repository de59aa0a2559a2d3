"""A voltage on a pin of the analogue-digital converter, averaged, in volts or as what the sensor at it means by them.

    from mqttlite_board.sensors.adc import Adc
    battery = Adc(35, scale=2)                              # a divider of two equal resistors
    soil = Adc(34, points=((2.6, 0), (1.1, 100)))           # volts when dry: 0 %, and when wet: 100 %
    app.measure("battery", battery.read, every_s=600, digits=2)
    app.measure("soil", soil.read, every_s=60, change=1, digits=0)

`read_uv`, where the chip has it, is calibrated in the factory (an ESP32 without may be wrong by a tenth). On an ESP32,
pins of ADC2 do not work while Wi-Fi is on: take 32 to 39.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REFERENCE_V = 3.3  # of a chip without calibration


class Adc:
    """`pin`: its number, or a name such as "A0"; `samples` are averaged, without the highest and the lowest quarter.
    `scale`: what the volts are multiplied with. `points`: two pairs (volts, value), between and beyond which the value
    follows a straight line. ValueError for a pin that has no converter.
    """

    def __init__(
        self,
        pin: "int | str",
        samples: int = 16,
        scale: float = 1,
        points: "tuple[tuple[float, float], tuple[float, float]] | None" = None,
    ) -> None:
        from machine import ADC, Pin

        self._samples = max(samples, 1)
        self._scale = scale
        self._points = points
        if points and points[0][0] == points[1][0]:
            raise ValueError("points: two different voltages are needed")
        try:
            adc: "Any" = ADC(Pin(pin))
            if hasattr(ADC, "ATTN_11DB"):  # an ESP32 measures 1.1 V at most otherwise
                adc.atten(ADC.ATTN_11DB)
        except (ValueError, TypeError, OSError) as error:
            raise ValueError("pin %s cannot measure a voltage: %s" % (pin, error)) from None
        self._adc = adc

    def read(self) -> float:
        """In volts, or what `points` make of them."""
        adc = self._adc
        if hasattr(adc, "read_uv"):
            found = sorted([adc.read_uv() for _ in range(self._samples)])
            unit = 1e-6
        else:
            found = sorted([adc.read_u16() for _ in range(self._samples)])
            unit = REFERENCE_V / 65535
        quarter = len(found) // 4
        found = found[quarter : len(found) - quarter]
        volt: float = sum(found) / len(found) * unit * self._scale
        if not self._points:
            return volt
        (low, at_low), (high, at_high) = self._points
        return at_low + (volt - low) * (at_high - at_low) / (high - low)
