"""The temperature of the chip itself, which is some degrees above that of the air around it.

from mqttlite_board.sensors.chip import temperature
app.measure("chip", temperature, every_s=300)
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RP2_CHANNEL = 4  # of the ADC of an RP2040


def temperature() -> float:
    """In °C. ValueError where the chip has no such sensor."""
    try:
        import esp32
    except ImportError:
        return _of_an_rp2()
    chip: "Any" = esp32
    if hasattr(chip, "mcu_temperature"):  # the newer chips: S2, S3, C3, C6
        return float(chip.mcu_temperature())
    if hasattr(chip, "raw_temperature"):  # the first ESP32, in °F
        return (int(chip.raw_temperature()) - 32) / 1.8
    raise ValueError("this chip has no sensor of its own temperature")


def _of_an_rp2() -> float:
    try:
        from machine import ADC
    except ImportError:
        raise ValueError("a computer has no chip temperature") from None
    volt = ADC(RP2_CHANNEL).read_u16() * 3.3 / 65535
    return 27 - (volt - 0.706) / 0.001721  # RP2040 datasheet, 4.9.5
