// Asks a broker many things by Apache Kafka's Java clients and prints `TITLE => OUTCOME` for each, without anything
// that differs between two brokers of one kind (ids, ports, times): Transcript.java BOOTSTRAP.
// Two transcripts are compared by `cargo xtask interop twins`.

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.AlterConfigsOptions;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreatePartitionsOptions;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.CreateTopicsResult;
import org.apache.kafka.clients.admin.DeleteRecordsOptions;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Transcript {
    /** The time of the first record. Not long ago: retention would delete it. */
    private static final long START_MS = System.currentTimeMillis() - 3_600_000;
    /** For what the clients ask for again and again, as long as they are let. */
    private static final int IMPATIENT_MS = 2_000;
    private static String bootstrap;
    private static Admin admin;

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        try (Admin client = Admin.create(Map.of("bootstrap.servers", bootstrap, "default.api.timeout.ms", 15000, "request.timeout.ms", 5000))) {
            admin = client;
            cluster();
            createTopics();
            configs();
            partitions();
            records();
            groups();
            logDirs();
            deletions();
        }
    }

    private static void ask(String title, Callable<Object> question) {
        Object outcome;
        try {
            outcome = question.call();
        } catch (ExecutionException error) {
            outcome = error.getCause().getClass().getSimpleName() + ": " + error.getCause().getMessage();
        } catch (Exception error) {
            outcome = error.getClass().getSimpleName() + ": " + error.getMessage();
        }
        String text = String.valueOf(outcome);
        // What waited too long says how long, in words that differ from run to run; what was refused for its time says the time.
        if (text.contains("TimeoutException")) text = text.replaceAll("(TimeoutException).*", "$1");
        if (title.startsWith("produce")) text = text.replaceAll("-?\\d{13,}", "TIME");
        text = Pattern.compile("\\b\\d{13}\\b").matcher(text).replaceAll(time -> "START+" + (Long.parseLong(time.group()) - START_MS));
        if (title.startsWith("cordons")) text = text.replaceAll("(/[^ ,\\]]*)?/(data|more)\\b", "DIR/$2");
        text = text.replace('\n', ' ').replaceAll("127\\.0\\.0\\.1:\\d+", "ADDRESS").replaceAll("localhost:\\d+", "ADDRESS");
        System.out.println(title + " => " + text);
    }

    private static <T> T get(org.apache.kafka.common.KafkaFuture<T> future) throws Exception {
        return future.get(20, TimeUnit.SECONDS);
    }

    private static void cluster() {
        ask("cluster: nodes", () -> get(admin.describeCluster().nodes()).stream().map(node -> node.id() + " rack " + node.rack()).toList());
        ask("cluster: controller", () -> get(admin.describeCluster().controller()).id());
        ask("cluster: id", () -> get(admin.describeCluster().clusterId()).length());
        ask("cluster: topics", () -> get(admin.listTopics().names()));
        ask("cluster: finalized features", () -> new TreeMap<>(get(admin.describeFeatures().featureMetadata()).finalizedFeatures()));
        ask("cluster: supported features", () -> new TreeMap<>(get(admin.describeFeatures().featureMetadata()).supportedFeatures()));
    }

    private static String created(NewTopic topic, boolean validateOnly) throws Exception {
        CreateTopicsResult result = admin.createTopics(List.of(topic), new CreateTopicsOptions().validateOnly(validateOnly));
        get(result.values().get(topic.name()));
        Config config = get(result.config(topic.name()));
        return get(result.numPartitions(topic.name())) + " partitions, factor " + get(result.replicationFactor(topic.name())) + ", id "
            + get(result.topicId(topic.name())).equals(Uuid.ZERO_UUID) + ", " + entries(config);
    }

    private static void create(String title, NewTopic topic) {
        ask("create: " + title, () -> created(topic, false));
    }

    private static void createTopics() {
        ask("create: validate only", () -> created(new NewTopic("valid", 2, (short) 1).configs(Map.of("retention.ms", "5000")), true));
        ask("create: nothing was made", () -> get(admin.listTopics().names()));
        create("ok", new NewTopic("ok", 2, (short) 1).configs(Map.of("retention.ms", "5000", "cleanup.policy", "compact,delete")));
        create("again", new NewTopic("ok", 2, (short) 1));
        create("defaults", new NewTopic("defaults", Optional.empty(), Optional.empty()));
        create("assignment", new NewTopic("assigned", Map.of(0, List.of(1), 1, List.of(1))));
        for (String name : List.of("", ".", "..", "a b", "a/b", "é", "x".repeat(249), "x".repeat(250)))
            create("name of " + name.length() + ": " + name.substring(0, Math.min(4, name.length())), new NewTopic(name, 1, (short) 1));
        create("with.dot", new NewTopic("with.dot", 1, (short) 1));
        create("with_dot, which collides", new NewTopic("with_dot", 1, (short) 1));
        for (int count : new int[] {0, -1, -2, 100_000}) create(count + " partitions", new NewTopic("partitions" + count, count, (short) 1));
        for (int factor : new int[] {0, -1, -2, 2, 32767}) create("factor " + factor, new NewTopic("factor" + factor, 1, (short) factor));
        create("assignment to a broker that is not there", new NewTopic("assigned-2", Map.of(0, List.of(2))));
        create("assignment without partition 0", new NewTopic("assigned-3", Map.of(1, List.of(1))));
        create("assignment twice to one broker", new NewTopic("assigned-4", Map.of(0, List.of(1, 1))));
        create("assignment to nobody", new NewTopic("assigned-5", Map.of(0, List.of())));
        create("assignments of different lengths", new NewTopic("assigned-6", new TreeMap<>(Map.of(0, List.of(1), 1, List.of(1, 2)))));
        create("assignment to broker -1", new NewTopic("assigned-7", Map.of(0, List.of(-1))));
        Map<String, String> wrong = new LinkedHashMap<>();
        wrong.put("no.such.config", "1");
        wrong.put("retention.ms", "soon");
        wrong.put("retention.bytes", "-2");
        wrong.put("cleanup.policy", "shred");
        wrong.put("min.insync.replicas", "0");
        wrong.put("segment.bytes", "1");
        wrong.put("segment.ms", "0");
        wrong.put("compression.type", "rar");
        wrong.put("message.timestamp.type", "Never");
        wrong.put("max.message.bytes", "-1");
        wrong.put("unclean.leader.election.enable", "perhaps");
        wrong.put("min.cleanable.dirty.ratio", "1.5");
        wrong.put("compression.gzip.level", "11");
        wrong.put("compression.zstd.level", "99");
        wrong.put("leader.replication.throttled.replicas", "what");
        wrong.put("remote.storage.enable", "true");
        wrong.put("message.format.version", "3.0");
        wrong.put("preallocate", "");
        wrong.put("retention.ms ", "1");
        wrong.put("flush.messages", "0");
        wrong.put("delete.retention.ms", "-1");
        wrong.put("index.interval.bytes", "99999999999");
        int number = 0;
        for (Map.Entry<String, String> entry : wrong.entrySet())
            create(entry.getKey() + "=" + entry.getValue(), new NewTopic("wrong-" + number++, 1, (short) 1).configs(Map.of(entry.getKey(), entry.getValue())));
        create("a config without a value", new NewTopic("wrong-null", 1, (short) 1).configs(Collections.singletonMap("retention.ms", null)));
        create("lag limits that cross", new NewTopic("wrong-lag", 1, (short) 1).configs(Map.of("min.compaction.lag.ms", "10", "max.compaction.lag.ms", "5")));
        ask("create: two of one name", () -> {
            CreateTopicsResult result = admin.createTopics(List.of(new NewTopic("twice", 1, (short) 1), new NewTopic("twice", 2, (short) 1)));
            get(result.values().get("twice"));
            return "made";
        });
        ask("create: then the topics are", () -> new TreeSet<>(get(admin.listTopics(new ListTopicsOptions().listInternal(true)).names())));
        for (String name : List.of("ok", "assigned", "defaults", "nowhere"))
            ask("describe: " + name, () -> {
                var described = get(admin.describeTopics(List.of(name)).topicNameValues().get(name));
                return described.partitions().stream().map(partition -> partition.partition() + " leader " + partition.leader().id() + " replicas " + partition.replicas().size()
                    + " isr " + partition.isr().size() + " elr " + partition.elr() + " last " + partition.lastKnownElr()).toList() + " internal " + described.isInternal() + " may " + described.authorizedOperations();
            });
        ask("describe: an id that is not there", () -> get(admin.describeTopics(TopicCollection.ofTopicIds(List.of(new Uuid(1, 2)))).topicIdValues().get(new Uuid(1, 2))));
    }

    private static String entries(Config config) {
        return config.entries().stream().sorted((a, b) -> a.name().compareTo(b.name())).map(Transcript::entry).collect(Collectors.joining("; "));
    }

    private static String entry(ConfigEntry entry) {
        String value = entry.name().endsWith("log.dirs") || entry.name().contains("listeners") || entry.name().contains("quorum.bootstrap") ? "HIDDEN" : entry.value();
        List<String> synonyms = entry.synonyms().stream().map(synonym -> synonym.name() + ":" + synonym.source()).toList();
        return entry.name() + "=" + value + " " + entry.source() + (entry.isReadOnly() ? " read-only" : "") + (entry.isSensitive() ? " sensitive" : "") + " " + entry.type() + " " + synonyms;
    }

    private static void describe(String title, ConfigResource resource) {
        Map<String, ConfigEntry> found = new TreeMap<>();
        ask(title + ": count", () -> {
            Config config = get(admin.describeConfigs(List.of(resource), new DescribeConfigsOptions().includeSynonyms(true)).values().get(resource));
            config.entries().forEach(entry -> found.put(entry.name(), entry));
            return found.size();
        });
        found.forEach((name, entry) -> ask(title + ": " + name, () -> entry(entry)));
    }

    private static void alter(String title, ConfigResource resource, boolean validateOnly, Object... changes) {
        Collection<AlterConfigOp> operations = new ArrayList<>();
        for (int at = 0; at < changes.length; at += 3)
            operations.add(new AlterConfigOp(new ConfigEntry((String) changes[at + 1], (String) changes[at + 2]), (OpType) changes[at]));
        ask("alter: " + title, () -> {
            get(admin.incrementalAlterConfigs(Map.of(resource, operations), new AlterConfigsOptions().validateOnly(validateOnly)).all());
            return "done";
        });
    }

    private static void configs() {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, "ok");
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, "1");
        ConfigResource everyBroker = new ConfigResource(ConfigResource.Type.BROKER, "");
        describe("topic config", topic);
        describe("broker config", broker);
        alter("set", topic, false, OpType.SET, "retention.ms", "7000", OpType.SET, "max.message.bytes", "2000");
        alter("append a value that is there", topic, false, OpType.APPEND, "cleanup.policy", "delete");
        alter("subtract", topic, false, OpType.SUBTRACT, "cleanup.policy", "compact");
        alter("append to what is no list", topic, false, OpType.APPEND, "retention.ms", "1");
        alter("delete", topic, false, OpType.DELETE, "retention.ms", null);
        alter("delete what is not set", topic, false, OpType.DELETE, "segment.ms", null);
        alter("validate only", topic, true, OpType.SET, "retention.ms", "1");
        alter("one key twice", topic, false, OpType.SET, "retention.ms", "1", OpType.SET, "retention.ms", "2");
        alter("a bad value", topic, false, OpType.SET, "retention.ms", "soon");
        alter("an unknown key", topic, false, OpType.SET, "no.such.config", "1");
        alter("no value", topic, false, OpType.SET, "retention.ms", null);
        alter("a topic that is not there", new ConfigResource(ConfigResource.Type.TOPIC, "nowhere"), false, OpType.SET, "retention.ms", "1");
        alter("a topic without a name", new ConfigResource(ConfigResource.Type.TOPIC, ""), false, OpType.SET, "retention.ms", "1");
        alter("a broker that is no number", new ConfigResource(ConfigResource.Type.BROKER, "one"), false, OpType.SET, "log.retention.ms", "1");
        alter("a broker's key that needs a restart", broker, false, OpType.SET, "node.id", "9");
        alter("every broker", everyBroker, false, OpType.SET, "log.retention.ms", "123456789");
        alter("one broker", broker, false, OpType.SET, "log.segment.bytes", "2000000");
        alter("a broker's bad value", broker, false, OpType.SET, "log.segment.bytes", "x");
        for (String name : List.of("retention.ms", "cleanup.policy", "max.message.bytes", "segment.bytes"))
            ask("altered topic: " + name, () -> entry(get(admin.describeConfigs(List.of(topic), new DescribeConfigsOptions().includeSynonyms(true)).values().get(topic)).get(name)));
        for (String name : List.of("log.retention.ms", "log.segment.bytes"))
            ask("altered broker: " + name, () -> entry(get(admin.describeConfigs(List.of(broker), new DescribeConfigsOptions().includeSynonyms(true)).values().get(broker)).get(name)));
        ask("describe config: a topic that is not there", () -> get(admin.describeConfigs(List.of(new ConfigResource(ConfigResource.Type.TOPIC, "nowhere"))).all()));
        describe("every broker's config", everyBroker);
        alter("every broker, back", everyBroker, false, OpType.DELETE, "log.retention.ms", null);
        alter("one broker, back", broker, false, OpType.DELETE, "log.segment.bytes", null);
        alter("and the topic", topic, false, OpType.DELETE, "max.message.bytes", null, OpType.SET, "retention.ms", "-1");
    }

    private static void increase(String title, String topic, NewPartitions partitions, boolean validateOnly) {
        ask("partitions: " + title, () -> {
            get(admin.createPartitions(Map.of(topic, partitions), new CreatePartitionsOptions().validateOnly(validateOnly)).all());
            // The broker that answers may be a moment behind the controller.
            Thread.sleep(500);
            return get(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic).partitions().size();
        });
    }

    private static void partitions() {
        increase("validate only", "ok", NewPartitions.increaseTo(4), true);
        increase("to 4", "ok", NewPartitions.increaseTo(4), false);
        increase("to 4 again", "ok", NewPartitions.increaseTo(4), false);
        increase("to 1", "ok", NewPartitions.increaseTo(1), false);
        increase("to 0", "ok", NewPartitions.increaseTo(0), false);
        increase("with an assignment", "ok", NewPartitions.increaseTo(5, List.of(List.of(1))), false);
        increase("with too few assignments", "ok", NewPartitions.increaseTo(8, List.of(List.of(1))), false);
        increase("to a broker that is not there", "ok", NewPartitions.increaseTo(6, List.of(List.of(3))), false);
        increase("of a topic that is not there", "nowhere", NewPartitions.increaseTo(2), false);
    }

    private static String produced(Map<String, String> settings, String topic, Integer partition, Long timestamp, String key, String value) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("delivery.timeout.ms", "10000");
        properties.put("request.timeout.ms", "5000");
        properties.put("max.block.ms", "15000");
        properties.putAll(settings);
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer())) {
            var metadata = producer.send(new ProducerRecord<>(topic, partition, timestamp, key, value)).get();
            return "offset " + metadata.offset() + " of partition " + metadata.partition();
        }
    }

    private static void produce(String title, String topic, Integer partition, Long timestamp, String key, String value) {
        ask("produce: " + title, () -> produced(Map.of(), topic, partition, timestamp, key, value));
    }

    private static void records() throws Exception {
        admin.createTopics(List.of(
            new NewTopic("small", 1, (short) 1).configs(Map.of("max.message.bytes", "500")),
            new NewTopic("table", 1, (short) 1).configs(Map.of("cleanup.policy", "compact")),
            new NewTopic("timely", 1, (short) 1).configs(Map.of("message.timestamp.before.max.ms", "1000")),
            new NewTopic("stamped", 1, (short) 1).configs(Map.of("message.timestamp.type", "LogAppendTime")),
            new NewTopic("safe", 1, (short) 1).configs(Map.of("min.insync.replicas", "2")))).all().get();
        for (int number = 0; number < 10; number++) produce("record " + number, "ok", 0, START_MS + number * 10, "key", "value " + number);
        for (String key : List.of("a", "b", "c", "d", "e", "a long key of several words")) produce("key " + key, "ok", null, START_MS, key, "x");
        produce("too large", "small", 0, START_MS, null, "x".repeat(600));
        produce("small enough", "small", 0, START_MS, null, "x".repeat(100));
        produce("without a key into a table", "table", 0, START_MS, null, "x");
        produce("a timestamp too old", "timely", 0, 1L, null, "x");
        produce("a timestamp far ahead", "ok", 1, System.currentTimeMillis() + 86_400_000L, null, "x");
        ask("produce: a partition that is not there", () -> produced(Map.of("max.block.ms", String.valueOf(IMPATIENT_MS)), "ok", 77, START_MS, null, "x"));
        produce("a name that cannot be", "a b", 0, START_MS, null, "x");
        produce("a topic that comes by use", "by-use", null, START_MS, null, "x");
        produce("too few in sync", "safe", 0, START_MS, null, "x");
        ask("produce: too few in sync, acks=1", () -> produced(Map.of("acks", "1", "enable.idempotence", "false"), "safe", 0, START_MS, null, "x"));
        produce("stamped by the broker", "stamped", 0, START_MS, null, "x");
        for (String codec : List.of("gzip", "snappy", "lz4", "zstd"))
            ask("produce: " + codec, () -> produced(Map.of("compression.type", codec), "ok", 2, START_MS, null, "x".repeat(2000)));

        TopicPartition partition = new TopicPartition("ok", 0);
        Map<String, OffsetSpec> specs = new LinkedHashMap<>();
        specs.put("earliest", OffsetSpec.earliest());
        specs.put("latest", OffsetSpec.latest());
        specs.put("max timestamp", OffsetSpec.maxTimestamp());
        specs.put("earliest local", OffsetSpec.earliestLocal());
        specs.put("latest tiered", OffsetSpec.latestTiered());
        for (long delta : new long[] {-1, 0, 1, 45, 90, 91}) specs.put("start + " + delta, OffsetSpec.forTimestamp(START_MS + delta));
        specs.forEach((name, spec) -> ask("offsets: " + name, () -> {
            var info = get(admin.listOffsets(Map.of(partition, spec)).partitionResult(partition));
            return info.offset() + " at " + info.timestamp() + " epoch " + info.leaderEpoch();
        }));
        ask("offsets: a partition that is not there", () -> get(admin.listOffsets(Map.of(new TopicPartition("ok", 77), OffsetSpec.latest()), new ListOffsetsOptions().timeoutMs(IMPATIENT_MS)).all()));
        ask("offsets: latest of an empty partition", () -> get(admin.listOffsets(Map.of(new TopicPartition("defaults", 0), OffsetSpec.maxTimestamp())).partitionResult(new TopicPartition("defaults", 0))).offset());
        for (long before : new long[] {3, 3, 1, 1000, -1})
            ask("delete records before " + before, () -> get(admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(before))).lowWatermarks().get(partition)).lowWatermark());
        ask("delete records of a topic that is not there", () -> get(admin.deleteRecords(Map.of(new TopicPartition("nowhere", 0), RecordsToDelete.beforeOffset(1)), new DeleteRecordsOptions().timeoutMs(IMPATIENT_MS)).all()));
        ask("delete records of a table", () -> get(admin.deleteRecords(Map.of(new TopicPartition("table", 0), RecordsToDelete.beforeOffset(0))).all()));
    }

    private static KafkaConsumer<String, String> consumer(String group, String... settings) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        properties.put("group.id", group);
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "none");
        for (int at = 0; at < settings.length; at += 2) properties.put(settings[at], settings[at + 1]);
        return new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer());
    }

    private static List<String> poll(KafkaConsumer<String, String> consumer, int count) {
        List<String> seen = new ArrayList<>();
        for (int turn = 0; turn < 60 && seen.size() < count; turn++) {
            ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(500));
            records.forEach(record -> seen.add(record.topic() + "-" + record.partition() + "@" + record.offset() + " " + record.timestampType() + " " + record.key() + "=" + record.value()
                + " epoch " + record.leaderEpoch()));
        }
        Collections.sort(seen);
        return seen;
    }

    private static void groups() {
        TopicPartition partition = new TopicPartition("ok", 0);
        ask("consume: out of range", () -> {
            try (var consumer = consumer("reader")) {
                consumer.assign(List.of(partition));
                consumer.seek(partition, 999);
                return poll(consumer, 1);
            }
        });
        ask("consume: below the start", () -> {
            try (var consumer = consumer("reader")) {
                consumer.assign(List.of(partition));
                consumer.seek(partition, 1);
                return poll(consumer, 1);
            }
        });
        ask("consume: nothing committed", () -> {
            try (var consumer = consumer("reader")) {
                consumer.assign(List.of(partition));
                return poll(consumer, 1);
            }
        });
        ask("consume: subscribe to stamped, by-use and small", () -> {
            try (var consumer = consumer("classic", "group.protocol", "classic", "auto.offset.reset", "earliest")) {
                consumer.subscribe(List.of("by-use", "small"));
                List<String> seen = poll(consumer, 2);
                consumer.commitSync();
                return seen + " committed " + new TreeMap<>(consumer.committed(Set.of(new TopicPartition("small", 0), new TopicPartition("ok", 0))).entrySet().stream()
                    .collect(Collectors.toMap(entry -> entry.getKey().toString(), entry -> String.valueOf(entry.getValue()))));
            }
        });
        ask("consume: offsets for times", () -> {
            try (var consumer = consumer("reader")) {
                return consumer.offsetsForTimes(Map.of(partition, START_MS + 45, new TopicPartition("ok", 3), START_MS));
            }
        });
        ask("consume: a commit with metadata", () -> {
            try (var consumer = consumer("manual")) {
                consumer.assign(List.of(partition));
                consumer.commitSync(Map.of(partition, new OffsetAndMetadata(4, Optional.of(0), "a note")));
                return consumer.committed(Set.of(partition)).get(partition);
            }
        });
        ask("consume: a commit with too much metadata", () -> {
            try (var consumer = consumer("manual")) {
                consumer.assign(List.of(partition));
                consumer.commitSync(Map.of(partition, new OffsetAndMetadata(4, "x".repeat(5000))));
                return "done";
            }
        });
        ask("consume: a commit for a topic that is not there", () -> {
            try (var consumer = consumer("manual")) {
                consumer.commitSync(Map.of(new TopicPartition("nowhere", 0), new OffsetAndMetadata(1)), Duration.ofMillis(IMPATIENT_MS));
                return "done";
            }
        });
        ask("groups: list", () -> get(admin.listGroups().all()).stream().map(group -> group.groupId() + " " + group.type() + " " + group.protocol() + " " + group.groupState()).sorted().toList());
        for (String group : List.of("classic", "manual", "nobody"))
            ask("groups: describe " + group, () -> {
                var described = get(admin.describeClassicGroups(List.of(group)).describedGroups().get(group));
                return described.state() + " " + described.protocol() + " " + described.protocolData() + " members " + described.members().size() + " coordinator " + described.coordinator().id()
                    + " may " + described.authorizedOperations();
            });
        for (String group : List.of("classic", "manual", "nobody"))
            ask("groups: offsets of " + group, () -> get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).entrySet().stream().map(String::valueOf).sorted().toList());
        ask("groups: move offsets", () -> {
            get(admin.alterConsumerGroupOffsets("manual", Map.of(partition, new OffsetAndMetadata(6))).all());
            return get(admin.listConsumerGroupOffsets("manual").partitionsToOffsetAndMetadata());
        });
        ask("groups: move offsets of a topic that is not there", () -> get(admin.alterConsumerGroupOffsets("manual", Map.of(new TopicPartition("nowhere", 0), new OffsetAndMetadata(6))).all()));
        ask("groups: delete offsets", () -> get(admin.deleteConsumerGroupOffsets("manual", Set.of(partition)).all()));
        ask("groups: delete", () -> get(admin.deleteConsumerGroups(List.of("manual")).all()));
    }

    /** The directories of broker 1 by their last names: whether each is cordoned, and the replicas of a topic that it has. */
    private static String logDirs(String topic) throws Exception {
        var dirs = new TreeMap<String, String>();
        for (var dir : get(admin.describeLogDirs(List.of(1)).descriptions().get(1)).entrySet()) {
            var replicas = new TreeMap<Integer, String>();
            dir.getValue().replicaInfos().forEach((partition, replica) -> {
                if (partition.topic().equals(topic)) replicas.put(partition.partition(), replica.isFuture() ? "future" : "current");
            });
            dirs.put(Path.of(dir.getKey()).getFileName().toString(), "cordoned " + dir.getValue().isCordoned() + " " + dir.getValue().error() + " " + replicas);
        }
        return dirs.toString();
    }

    /** What the directories have, once that is so; what they had last, after five seconds. */
    private static String awaitLogDirs(String topic, String expected) throws Exception {
        String now = logDirs(topic);
        for (int tries = 0; tries < 250 && !now.contains(expected); tries++) {
            Thread.sleep(20);
            now = logDirs(topic);
        }
        return now;
    }

    private static Object move(String topic, int partition, int broker, String dir) throws Exception {
        var replica = new TopicPartitionReplica(topic, partition, broker);
        return get(admin.alterReplicaLogDirs(Map.of(replica, dir)).values().get(replica));
    }

    private static Object cordon(String broker, OpType how, String dirs) throws Exception {
        var entry = new org.apache.kafka.clients.admin.ConfigEntry("cordoned.log.dirs", dirs);
        return get(admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.BROKER, broker), List.of(new AlterConfigOp(entry, how)))).all());
    }

    /** What a topic is refused with, once it is; or how it was made, after ten seconds. */
    private static Object refused(String name) throws Exception {
        Object outcome = null;
        for (int tries = 0; tries < 100; tries++) {
            outcome = created(new NewTopic(name, 1, (short) 1), true);
            Thread.sleep(100);
        }
        return outcome;
    }

    private static void logDirs() {
        // Of those that the broker has: one in which it began, and one that is called "more".
        List<String> paths = new ArrayList<>();
        ask("log dirs: of the broker", () -> {
            paths.addAll(new TreeSet<>(get(admin.describeLogDirs(List.of(1)).descriptions().get(1)).keySet()));
            return paths.stream().map(path -> Path.of(path).getFileName()).toList();
        });
        String data = paths.get(0), more = paths.get(1), parent = Path.of(more).getParent().toString();
        ask("log dirs: a topic", () -> created(new NewTopic("moved", 1, (short) 1), false).length() > 0);
        ask("log dirs: move to more", () -> move("moved", 0, 1, more));
        ask("log dirs: it is there", () -> awaitLogDirs("moved", "{data=cordoned false null {}, more=cordoned false null {0=current}}"));
        ask("log dirs: move to more again", () -> move("moved", 0, 1, more));
        ask("log dirs: move back", () -> move("moved", 0, 1, data));
        ask("log dirs: it is back", () -> awaitLogDirs("moved", "{data=cordoned false null {0=current}, more=cordoned false null {}}"));
        for (String dir : List.of("/nowhere", "more", "", parent, more + "/"))
            ask("log dirs: move to '" + dir.replace(parent, "PARENT") + "'", () -> String.valueOf(move("moved", 0, 1, dir)).replace(parent, "PARENT"));
        ask("log dirs: move back again", () -> move("moved", 0, 1, data));
        ask("log dirs: move a partition that is not there", () -> move("moved", 7, 1, more));
        ask("log dirs: move a topic that is not there", () -> move("missing", 0, 1, more));
        ask("log dirs: move a topic with a long name", () -> move("x".repeat(249), 0, 1, more));
        ask("log dirs: move a replica with a number below zero", () -> move("moved", -1, 1, more));
        ask("log dirs: where a topic goes that is not there yet", () -> move("expected", 0, 1, more));
        ask("log dirs: it comes", () -> created(new NewTopic("expected", 1, (short) 1), false).length() > 0);
        ask("log dirs: it is where it was sent", () -> awaitLogDirs("expected", "more=cordoned false null {0=current}"));

        ask("cordons: one", () -> cordon("1", OpType.SET, more));
        ask("cordons: it is", () -> awaitLogDirs("moved", "more=cordoned true"));
        ask("cordons: move there", () -> move("moved", 0, 1, more));
        ask("cordons: a topic", () -> created(new NewTopic("uncordoned", 4, (short) 1), false).length() > 0);
        ask("cordons: it is elsewhere", () -> awaitLogDirs("uncordoned", "data=cordoned false null {0=current, 1=current, 2=current, 3=current}"));
        ask("cordons: no directory of the broker", () -> String.valueOf(cordon("1", OpType.SET, "/nowhere")));
        ask("cordons: all and one", () -> String.valueOf(cordon("1", OpType.SET, "*,/nowhere")));
        ask("cordons: of all brokers", () -> cordon("", OpType.SET, "*"));
        ask("cordons: all", () -> cordon("1", OpType.SET, "*"));
        ask("cordons: all are", () -> awaitLogDirs("moved", "data=cordoned true"));
        ask("cordons: a topic that finds no place", () -> refused("homeless"));
        ask("cordons: a topic that is assigned", () -> created(new NewTopic("assigned-8", Map.of(0, List.of(1))), false));
        ask("cordons: more partitions", () -> get(admin.createPartitions(Map.of("moved", NewPartitions.increaseTo(2))).all()));
        ask("cordons: what the broker says", () -> {
            var broker = new ConfigResource(ConfigResource.Type.BROKER, "1");
            return get(admin.describeConfigs(List.of(broker)).all()).get(broker).get("cordoned.log.dirs");
        });
        ask("cordons: none", () -> cordon("1", OpType.DELETE, ""));
        ask("cordons: none is", () -> awaitLogDirs("moved", "data=cordoned false"));
    }

    private static void deletions() {
        ask("delete: a topic", () -> get(admin.deleteTopics(List.of("defaults")).all()));
        ask("delete: again", () -> get(admin.deleteTopics(List.of("defaults")).all()));
        ask("delete: an id that is not there", () -> get(admin.deleteTopics(TopicCollection.ofTopicIds(List.of(new Uuid(1, 2)))).all()));
        ask("delete: then the topics are", () -> new TreeSet<>(get(admin.listTopics(new ListTopicsOptions().listInternal(true)).names())));
    }
}
