"""The producer with paho-mqtt.

python -m benchmarks.chaos.peers.paho_producer URL FOLDER QOS COUNT
"""

import sys
import threading
from pathlib import Path

from paho.mqtt.client import MQTT_ERR_NO_CONN, MQTT_ERR_SUCCESS

from benchmarks.chaos.peers import OFFERED, WINDOW
from benchmarks.chaos.peers.paho_client import connect_to, make_client
from tests.crash.producer import ACCEPTED, NAME, TOPIC, Notes, payload


def main(url: str, folder: Path, qos: int, count: int) -> None:
    offered = Notes(folder / OFFERED)
    accepted = Notes(folder / ACCEPTED)
    window = threading.Semaphore(WINDOW)
    client = make_client(NAME)
    client.on_publish = lambda *_: window.release()  # PUBACK or PUBCOMP
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    connect_to(client, url)
    client.loop_start()
    connected.wait()
    for number in range(max(offered.numbers, default=-1) + 1, count):
        window.acquire()
        offered.take(number)
        if client.publish(TOPIC, payload(number), qos).rc in (MQTT_ERR_SUCCESS, MQTT_ERR_NO_CONN):  # sent or queued
            accepted.take(number)
    for _ in range(WINDOW):
        window.acquire()
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
