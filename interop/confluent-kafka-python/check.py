"""What users of confluent-kafka do: python check.py BOOTSTRAP COUNT. Prints PASS or FAIL for each thing."""

import sys
import time
import traceback

from confluent_kafka import OFFSET_BEGINNING, Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourceType

BOOTSTRAP, COUNT = sys.argv[1], int(sys.argv[2])
COMMON = {"bootstrap.servers": BOOTSTRAP, "broker.address.family": "v4"}
PARTITIONS = 3
DEADLINE_S = 60


def record(number):
    key = None if number % 10 == 0 else b"key-%d" % (number % 1000)
    return key, (b"value %d " % number) * (1 + number % 5), [("number", str(number).encode()), ("none", None)]


def produce(topic, first, count, **settings):
    """Sends the records and returns (partition, offset) of each by its number, as the broker acknowledged them."""
    acknowledged, errors = {}, []
    producer = Producer({**COMMON, "linger.ms": 5, **settings})

    def delivered(error, message, number):
        if error:
            errors.append(error)
        else:
            acknowledged[number] = (message.partition(), message.offset())

    for number in range(first, first + count):
        key, value, headers = record(number)
        while True:
            try:
                producer.produce(topic, value, key, headers=headers, on_delivery=lambda e, m, n=number: delivered(e, m, n))
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    left = producer.flush(DEADLINE_S)
    assert not errors and left == 0 and len(acknowledged) == count, f"{left} left, {len(acknowledged)} acknowledged, {errors[:3]}"
    assert len(set(acknowledged.values())) == count, "two records were acknowledged at one offset"
    return acknowledged


def consume(consumer, count):
    messages, until = [], time.monotonic() + DEADLINE_S
    while len(messages) < count and time.monotonic() < until:
        for message in consumer.consume(min(500, count - len(messages)), 1.0):
            if message.error():
                raise KafkaException(message.error())
            messages.append(message)
    assert len(messages) == count, f"{len(messages)} records instead of {count}"
    return messages


def number_of(message):
    number = int(dict(message.headers())["number"])
    assert (message.key(), message.value(), message.headers()) == record(number), f"record {number} is not what was sent"
    return number


ADMIN = AdminClient(COMMON)


def create_topics():
    futures = ADMIN.create_topics([NewTopic("python", PARTITIONS, 1, config={"retention.ms": "3600000"}), NewTopic("other", 1, 1)])
    for future in futures.values():
        future.result(DEADLINE_S)
    try:
        ADMIN.create_topics([NewTopic("python", 1, 1)])["python"].result(DEADLINE_S)
    except KafkaException as error:
        assert error.args[0].name() == "TOPIC_ALREADY_EXISTS", error
    else:
        raise AssertionError("a topic was created twice")
    topics = ADMIN.list_topics(timeout=DEADLINE_S).topics
    assert len(topics["python"].partitions) == PARTITIONS, topics
    return f"{len(topics)} topics"


def codec(name):
    def check():
        topic = f"codec-{name}"
        acknowledged = produce(topic, 0, COUNT, **{"compression.type": name})
        consumer = Consumer({**COMMON, "group.id": "unused", "check.crcs": True, "enable.auto.commit": False})
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(PARTITIONS)])
        messages = consume(consumer, COUNT)
        consumer.close()
        where = {number_of(message): (message.partition(), message.offset()) for message in messages}
        assert where == acknowledged, "a record is not where it was acknowledged"
        return f"{COUNT} records"

    return check


def acks(value, idempotent):
    def check():
        produce("python", 0, COUNT // 4, acks=value, **{"enable.idempotence": idempotent})
        return f"{COUNT // 4} records"

    return check


def group_with_commits():
    topic = "group"
    produce(topic, 0, COUNT)
    settings = {**COMMON, "group.id": "python-group", "auto.offset.reset": "earliest", "enable.auto.commit": False}
    seen = []
    for share in (COUNT // 2, COUNT - COUNT // 2):
        consumer = Consumer(settings)
        consumer.subscribe([topic])
        seen += [number_of(message) for message in consume(consumer, share)]
        consumer.commit(asynchronous=False)
        consumer.close()
    assert sorted(seen) == list(range(COUNT)), "the second consumer did not go on where the first had committed"
    consumer = Consumer(settings)
    offsets = consumer.committed([TopicPartition(topic, partition) for partition in range(PARTITIONS)], DEADLINE_S)
    consumer.close()
    assert sum(offset.offset for offset in offsets) == COUNT, offsets
    return f"{COUNT} records in two turns"


def two_members_share():
    topic = "shared"
    produce(topic, 0, COUNT)
    settings = {**COMMON, "group.id": "python-pair", "auto.offset.reset": "earliest", "partition.assignment.strategy": "roundrobin"}
    members = [Consumer(settings), Consumer(settings)]
    for member in members:
        member.subscribe([topic])
    until = time.monotonic() + DEADLINE_S
    seen = set()
    while time.monotonic() < until:
        for member in members:
            for message in member.consume(500, 0.2):
                if message.error():
                    raise KafkaException(message.error())
                seen.add(number_of(message))
        if len(seen) == COUNT and all(member.assignment() for member in members):
            break
    shares = [sorted(partition.partition for partition in member.assignment()) for member in members]
    for member in members:
        member.close()
    assert len(seen) == COUNT, f"{len(seen)} records instead of {COUNT}"
    assert all(shares) and sorted(shares[0] + shares[1]) == list(range(PARTITIONS)), shares
    return f"partitions {shares[0]} and {shares[1]}"


def groups_by_admin():
    listed = ADMIN.list_consumer_groups().result(DEADLINE_S)
    ids = {group.group_id for group in listed.valid}
    assert {"python-group", "python-pair"} <= ids, ids
    described = ADMIN.describe_consumer_groups(["python-group"])["python-group"].result(DEADLINE_S)
    assert described.state.name == "EMPTY", described.state
    offsets = ADMIN.list_consumer_group_offsets([ConsumerGroupTopicPartitions("python-group")])["python-group"].result(DEADLINE_S)
    assert sum(partition.offset for partition in offsets.topic_partitions) == COUNT
    return f"{len(ids)} groups"


def configs():
    resource = ConfigResource(ResourceType.TOPIC, "other")
    resource.add_incremental_config(ConfigEntry("retention.ms", "7200000", incremental_operation=AlterConfigOpType.SET))
    ADMIN.incremental_alter_configs([resource])[resource].result(DEADLINE_S)
    found = ADMIN.describe_configs([ConfigResource(ResourceType.TOPIC, "other")])
    (entries,) = [future.result(DEADLINE_S) for future in found.values()]
    assert entries["retention.ms"].value == "7200000", entries["retention.ms"]
    assert entries["cleanup.policy"].value == "delete" and entries["cleanup.policy"].is_default
    return f"{len(entries)} entries"


def partitions_and_offsets():
    ADMIN.create_partitions([NewPartitions("other", 2)])["other"].result(DEADLINE_S)
    before = int(time.time() * 1000) - 1
    produce("offsets", 0, 100)
    latest = {TopicPartition("offsets", partition): OffsetSpec.latest() for partition in range(PARTITIONS)}
    ends = [future.result(DEADLINE_S).offset for future in ADMIN.list_offsets(latest).values()]
    assert sum(ends) == 100, ends
    consumer = Consumer({**COMMON, "group.id": "unused"})
    found = consumer.offsets_for_times([TopicPartition("offsets", partition, before) for partition in range(PARTITIONS)], DEADLINE_S)
    assert all(partition.offset == 0 for partition, end in zip(found, ends) if end > 0), found
    partition = max(range(PARTITIONS), key=lambda number: ends[number])
    deleted = ADMIN.delete_records([TopicPartition("offsets", partition, 5)])
    assert [future.result(DEADLINE_S).low_watermark for future in deleted.values()] == [5]
    assert consumer.get_watermark_offsets(TopicPartition("offsets", partition), DEADLINE_S) == (5, ends[partition])
    consumer.close()
    return f"ends {ends}"


def cluster_and_topics():
    cluster = ADMIN.describe_cluster().result(DEADLINE_S)
    assert len(cluster.nodes) == 1 and cluster.cluster_id, cluster
    ADMIN.delete_topics(["other"], operation_timeout=30)["other"].result(DEADLINE_S)
    assert "other" not in ADMIN.list_topics(timeout=DEADLINE_S).topics
    return cluster.cluster_id


CHECKS = [
    ("create topics, list them", create_topics),
    *[(f"produce and consume with {name}", codec(name)) for name in ("none", "gzip", "snappy", "lz4", "zstd")],
    ("acks=0", lambda: fire_and_forget()),
    ("acks=1", acks("1", False)),
    ("acks=all, idempotent", acks("all", True)),
    ("a group goes on from its commits", group_with_commits),
    ("two members share the partitions", two_members_share),
    ("groups by the admin client", groups_by_admin),
    ("configs by the admin client", configs),
    ("partitions, offsets, times, deleted records", partitions_and_offsets),
    ("the cluster, deleted topics", cluster_and_topics),
]


def fire_and_forget():
    producer = Producer({**COMMON, "acks": "0"})
    for number in range(100):
        producer.produce("forgotten", b"%d" % number)
    assert producer.flush(DEADLINE_S) == 0
    consumer = Consumer({**COMMON, "group.id": "unused", "enable.auto.commit": False})
    consumer.assign([TopicPartition("forgotten", partition, OFFSET_BEGINNING) for partition in range(PARTITIONS)])
    consume(consumer, 100)
    consumer.close()
    return "100 records"


failed = False
for title, check in CHECKS:
    try:
        print(f"PASS {title}: {check()}")
    except Exception as error:
        failed = True
        last = traceback.extract_tb(error.__traceback__)[-1]
        print(f"FAIL {title}: line {last.lineno}: {type(error).__name__}: {error}".replace("\n", " "))
sys.exit(failed)
