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


def protocol_settings(protocol, assignor="range"):
    """Settings of a member; those of the classic protocol are the broker's in the other."""
    if protocol == "consumer":
        return {"group.protocol": "consumer"}
    return {"session.timeout.ms": 6000, "heartbeat.interval.ms": 300, "partition.assignment.strategy": assignor}


def member(group, protocol, **settings):
    common = {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    return Consumer({**COMMON, **common, **protocol_settings(protocol), **settings})


def group_with_commits(protocol):
    def check():
        topic, group = f"group-{protocol}", f"python-group-{protocol}"
        produce(topic, 0, COUNT)
        seen = []
        for share in (COUNT // 2, COUNT - COUNT // 2):
            consumer = member(group, protocol)
            consumer.subscribe([topic])
            seen += [number_of(message) for message in consume(consumer, share)]
            consumer.commit(asynchronous=False)
            consumer.close()
        assert sorted(seen) == list(range(COUNT)), "the second consumer did not go on where the first had committed"
        consumer = member(group, protocol)
        offsets = consumer.committed([TopicPartition(topic, partition) for partition in range(PARTITIONS)], DEADLINE_S)
        consumer.close()
        assert sum(offset.offset for offset in offsets) == COUNT, offsets
        return f"{COUNT} records in two turns"

    return check


def poll_until(members, condition):
    """Lets the members consume until it is true; the numbers of what they read."""
    seen, until = [], time.monotonic() + DEADLINE_S
    while not condition(seen):
        assert time.monotonic() < until, [sorted(partition.partition for partition in each.assignment()) for each in members]
        for each in members:
            for message in each.consume(500, 0.1):
                if message.error():
                    raise KafkaException(message.error())
                seen.append(number_of(message))
    return seen


def two_members_share(protocol, assignor):
    def check():
        topic = f"shared-{protocol}-{assignor}"
        produce(topic, 0, COUNT)
        settings = {"group.remote.assignor": assignor} if protocol == "consumer" else {"partition.assignment.strategy": assignor}
        members = [member(f"python-pair-{protocol}-{assignor}", protocol, **settings) for _ in range(2)]
        for each in members:
            each.subscribe([topic])
        balanced = lambda seen: len(set(seen)) == COUNT and sorted(len(each.assignment()) for each in members) == [1, 2]
        poll_until(members, balanced)
        shares = [sorted(partition.partition for partition in each.assignment()) for each in members]
        for each in members:
            each.close()
        assert sorted(shares[0] + shares[1]) == list(range(PARTITIONS)), shares
        return f"partitions {shares[0]} and {shares[1]}"

    return check


def static_member(protocol):
    def check():
        topic, group = f"static-{protocol}", f"python-static-{protocol}"
        produce(topic, 0, 10)
        members = [member(group, protocol, **{"group.instance.id": f"instance-{number}"}) for number in range(2)]
        for each in members:
            each.subscribe([topic])
        poll_until(members, lambda _: sorted(len(each.assignment()) for each in members) == [1, 2])
        before = sorted(partition.partition for partition in members[1].assignment())
        members[1].close()
        members[1] = member(group, protocol, **{"group.instance.id": "instance-1"})
        members[1].subscribe([topic])
        poll_until(members, lambda _: len(members[1].assignment()) > 0)
        after = sorted(partition.partition for partition in members[1].assignment())
        for each in members:
            each.close()
        assert before == after, f"{after} instead of {before}"
        return f"partitions {before}"

    return check


def regular_expression(protocol):
    def check():
        prefix = f"regex-{protocol}"
        for name in (f"{prefix}-a", f"{prefix}-b", f"not-{prefix}"):
            produce(name, 0, 10)
        consumer = member(f"python-{prefix}", protocol)
        consumer.subscribe([f"^{prefix}-.*"])
        poll_until([consumer], lambda seen: len(seen) == 20)
        topics = {partition.topic for partition in consumer.assignment()}
        consumer.close()
        assert topics == {f"{prefix}-a", f"{prefix}-b"}, topics
        return "2 topics of 3"

    return check


def described(protocol):
    def check():
        topic, group = f"described-{protocol}", f"python-described-{protocol}"
        produce(topic, 0, 10)
        consumer = member(group, protocol, **{"client.id": "python"})
        consumer.subscribe([topic])
        poll_until([consumer], lambda seen: len(seen) == 10)
        found = ADMIN.describe_consumer_groups([group])[group].result(DEADLINE_S)
        assert found.state.name == "STABLE" and found.type.name.lower() == protocol, (found.state, found.type)
        (only,) = found.members
        assert only.client_id == "python" and only.host in ("/127.0.0.1", "127.0.0.1"), (only.client_id, only.host)
        assert sorted(partition.partition for partition in only.assignment.topic_partitions) == list(range(PARTITIONS))
        consumer.close()
        return found.type.name

    return check


def groups_by_admin():
    listed = ADMIN.list_consumer_groups().result(DEADLINE_S)
    ids = {group.group_id for group in listed.valid}
    group = "python-group-classic"
    assert {group, "python-group-consumer"} <= ids, ids
    described = ADMIN.describe_consumer_groups([group])[group].result(DEADLINE_S)
    assert described.state.name == "EMPTY", described.state
    offsets = ADMIN.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(DEADLINE_S)
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
    *[
        (f"{title}, {protocol} protocol", check(protocol))
        for protocol in ("classic", "consumer")
        for title, check in (
            ("a group goes on from its commits", group_with_commits),
            ("a static member comes back to its partitions", static_member),
            ("a subscription by a regular expression", regular_expression),
            ("a group is described", described),
        )
    ],
    *[
        (f"two members share the partitions, {protocol} protocol, {assignor}", two_members_share(protocol, assignor))
        for protocol, assignor in (
            ("classic", "range"),
            ("classic", "roundrobin"),
            ("classic", "cooperative-sticky"),
            ("consumer", "uniform"),
            ("consumer", "range"),
        )
    ],
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
