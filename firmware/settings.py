"""The settings of this board. Change them, copy this file to the board, press reset."""

# Who this board is: client identifier at the broker, name on the serial line. No two boards may share it.
DEVICE_ID = "board-1"

# How it reaches the broker: over a serial line to the gateway …
URL = "serial://2?tx=17&rx=16&baud=115200"  # UART 2; hardware/boards/ has UART and pins of each board ([link])
# … or over Wi-Fi to a broker:
# URL = "mqtt://192.168.1.10:1883"

# Wi-Fi; leave the name empty where the board has a serial line only.
WIFI_NAME = ""
WIFI_PASSWORD = ""

# What the broker asks for; None where it asks for nothing.
USERNAME = None
PASSWORD = None

# Topics of this board begin with this.
TOPIC = "boards/" + DEVICE_ID

# Where what is not confirmed yet is kept over a loss of power: a file on the board's flash. None: nowhere. (A partition
# of its own wears less: docs/board.md.)
STORE = "journal"

# A reading this often, in milliseconds. Each costs the flash two erased blocks with a journal in a file: 2 MiB last 8
# years with one every 10 s, less than a year with one every second.
READ_EVERY_MS = 10000

# The pin of the LED that the command {"do": "led", "on": true} switches, 2 on many ESP32 boards. None: there is no
# LED, or only an addressable one.
LED_PIN = None

# Restart the board when the program hangs for so many seconds: 60 for a board in the field, 0 (never) while you change
# things, since it cannot be stopped once started: after Ctrl-C, too, the board restarts when the seconds are over.
WATCHDOG_S = 0
