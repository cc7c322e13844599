"""A member of a group on librdkafka: member.py BOOTSTRAP GROUP TOPIC [KEY=VALUE...]

It says on its standard output what becomes of it (README.md), and leaves the group when its standard input ends.
"""

import sys
import threading
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

COMMIT_EVERY_S = 0.3


def say(event):
    print(time.time_ns() // 1000, event, flush=True)


class Runs:
    """Records that were read, gathered to runs of consecutive offsets, and what is to be committed of them."""

    def __init__(self):
        self.runs, self.since, self.positions = {}, time.monotonic(), {}

    def add(self, partition, offset):
        self.positions[partition] = offset + 1
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

    def commit(consumer, asynchronous):
        # Only what it has said that it has read, for it may be killed at any time: by itself, librdkafka would commit what is
        # read while the request is made.
        runs.flush()
        offsets = [TopicPartition(topic, partition, offset) for partition, offset in runs.positions.items()]
        try:
            if offsets:
                consumer.commit(offsets=offsets, asynchronous=asynchronous)
        except KafkaException as error:
            say(f"error commit: {error}")

    def numbers(partitions):
        return ",".join(str(partition.partition) for partition in partitions)

    def forget(partitions):
        for partition in partitions:
            runs.positions.pop(partition.partition, None)

    def assigned(_, partitions):
        say(f"assigned -1 {numbers(partitions)}")

    def revoked(consumer, partitions):
        commit(consumer, asynchronous=False)
        forget(partitions)
        say(f"revoked -1 {numbers(partitions)}")

    def lost(_, partitions):
        runs.flush()
        forget(partitions)
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
            committed = now
            commit(consumer, asynchronous=True)
    runs.flush()
    consumer.close()
    say("left")


main(*sys.argv[1:])
