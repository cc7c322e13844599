"""An idempotent producer through crashes of its broker: python load.py BOOTSTRAP TOPIC COUNT RATE [PARTITIONS].

Sends the numbers below COUNT, RATE in a second, and prints `NUMBER PARTITION OFFSET TIME` for each that the broker
acknowledged, with the time of the acknowledgement in milliseconds. Ends well when every one is. A COUNT of 0: until its
standard input ends."""

import itertools
import sys
import threading
import time

from confluent_kafka import Producer

BOOTSTRAP, TOPIC, COUNT, RATE = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
PARTITIONS = int(sys.argv[5]) if len(sys.argv) > 5 else 2
# Some brokers take half a minute to come back where much else runs, and the last record waits for all of it.
PATIENCE_S = 600
errors = []


def delivered(error, message):
    if error:
        errors.append(f"{message.value().decode()}: {error}")
    else:
        sys.stdout.write(f"{message.value().decode()} {message.partition()} {message.offset()} "
                         f"{time.time_ns() // 1_000_000}\n")


producer = Producer({
    "bootstrap.servers": BOOTSTRAP,
    "broker.address.family": "v4",
    "enable.idempotence": True,
    "message.timeout.ms": PATIENCE_S * 1000,
    "batch.num.messages": 100,
    "linger.ms": 5,
    "reconnect.backoff.max.ms": 500,
    # A broker behind a cut network answers nothing; the default is a minute.
    "socket.timeout.ms": 10_000,
    "queue.buffering.max.messages": COUNT + 1 if COUNT else 10_000_000,
})
ended = threading.Event()
if not COUNT:
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
started = time.monotonic()
for number in range(COUNT) if COUNT else itertools.takewhile(lambda _: not ended.is_set(), itertools.count()):
    producer.produce(TOPIC, b"%d" % number, partition=number % PARTITIONS, on_delivery=delivered)
    if number % 100 == 0:
        producer.poll(0)
        sys.stdout.flush()
        time.sleep(max(0.0, number / RATE - (time.monotonic() - started)))
left = producer.flush(PATIENCE_S)
sys.stdout.flush()
if left or errors:
    sys.exit(f"{left} left, {len(errors)} errors: {errors[:3]}")
