import gc
import socket
import struct
import sys


def heap():
    gc.collect()
    return gc.mem_alloc()


gc.threshold(1024)
before = heap()
from umqtt.simple import MQTTClient

print("import", heap() - before)

received = 0


def count_it(topic, payload):
    global received
    received += 1


def publish(client, qos, count):
    for n in range(count):
        client.publish("house/1/sensor", b"%064d" % n, False, qos)


def receive(client, qos, count):
    client.publish("feed", "%d %d" % (qos, count), False, 1)
    wanted = received + count
    while received < wanted:
        client.wait_msg()


def allocate(client, count):
    client.subscribe("down", 1)
    for name, task in (("publish", publish), ("receive", receive)):
        for qos in range(2):
            task(client, qos, count)
            gc.collect()
            gc.disable()
            start = gc.mem_alloc()
            task(client, qos, count)
            print(name, qos, (gc.mem_alloc() - start) // count)
            gc.enable()


def echo(client, topic, count, qos):
    client.subscribe(topic, qos)
    for n in range(count):
        client.publish(topic, b"%064d" % n, False, qos)
    while received < count:
        client.wait_msg()
    print("done", received)


def main(what, host, port, name, *numbers):
    client = MQTTClient(name, host, int(port))
    client.set_callback(count_it)
    client.connect()
    if what == "connect":
        print("connect", heap() - before)
    elif what == "allocate":
        allocate(client, int(numbers[0]))
    else:
        echo(client, name, int(numbers[0]), int(numbers[1]))
    client.disconnect()


if sys.argv[1] != "import":
    main(*sys.argv[1:])
