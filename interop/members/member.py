"""A member of a group on librdkafka: member.py BOOTSTRAP GROUP TOPIC [KEY=VALUE...]

It says on its standard output what becomes of it (README.md), and leaves the group when its standard input ends.
"""

import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException

COMMIT_EVERY_S = 0.3


def say(event):
    print(time.time_ns() // 1000, event, flush=True)


class Runs:
    """Records that were read, gathered to runs of consecutive offsets."""

    def __init__(self):
        self.runs, self.since = {}, time.monotonic()

    def add(self, partition, offset):
        first, last = self.runs.get(partition, (offset, offset - 1))
        if offset != last + 1:
            say(f"read {partition} {first} {last}")
            first = offset
        self.runs[partition] = (first, offset)

    def flush(self):
        for partition, (first, last) in self.runs.items():
            say(f"read {partition} {first} {last}")
        self.runs, self.since = {}, time.monotonic()


def main(bootstrap, group, topic, *settings):
    leaving = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), leaving.set()), daemon=True).start()
    runs = Runs()

    def numbers(partitions):
        return ",".join(str(partition.partition) for partition in partitions)

    def assigned(_, partitions):
        say(f"assigned -1 {numbers(partitions)}")

    def revoked(consumer, partitions):
        runs.flush()
        try:
            consumer.commit(asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._NO_OFFSET:
                say(f"error commit: {error}")
        say(f"revoked -1 {numbers(partitions)}")

    def lost(_, partitions):
        runs.flush()
        say(f"lost -1 {numbers(partitions)}")

    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "broker.address.family": "v4",
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            **dict(setting.split("=", 1) for setting in settings),
        }
    )
    consumer.subscribe([topic], on_assign=assigned, on_revoke=revoked, on_lost=lost)
    committed = time.monotonic()
    while not leaving.is_set():
        message = consumer.poll(0.1)
        if message is not None and message.error():
            say(f"error {message.error()}")
        elif message is not None:
            runs.add(message.partition(), message.offset())
        now = time.monotonic()
        if now - runs.since >= 0.1:
            runs.flush()
        if now - committed >= COMMIT_EVERY_S:
            # First it says what it has read: it may be killed when that is committed.
            runs.flush()
            committed = now
            try:
                consumer.commit(asynchronous=True)
            except KafkaException as error:
                if error.args[0].code() != KafkaError._NO_OFFSET:
                    say(f"error commit: {error}")
    runs.flush()
    consumer.close()
    say("left")


main(*sys.argv[1:])
