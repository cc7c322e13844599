import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

public class MakeOffsets {
    static final String SERVER = "127.0.0.1:9092";
    static KafkaConsumer<byte[], byte[]> consumer(String group, String protocol, String... more) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", SERVER);
        config.put("group.id", group);
        config.put("group.protocol", protocol);
        config.put("client.id", "golden");
        config.put("auto.offset.reset", "earliest");
        config.put("enable.auto.commit", "false");
        for (int i = 0; i < more.length; i += 2) config.put(more[i], more[i + 1]);
        return new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }
    static void poll(KafkaConsumer<byte[], byte[]> consumer) {
        consumer.subscribe(List.of("words"));
        int seen = 0;
        while (seen < 300) seen += consumer.poll(Duration.ofMillis(100)).count();
    }
    static KafkaProducer<byte[], byte[]> producer(String id) {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", SERVER, "transactional.id", id));
        KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer());
        producer.initTransactions();
        return producer;
    }
    static TopicPartition words(int partition) { return new TopicPartition("words", partition); }

    public static void main(String[] args) throws Exception {
        // A classic group whose one member leaves.
        try (var consumer = consumer("classic", "classic")) {
            poll(consumer);
            consumer.commitSync(Map.of(
                words(0), new OffsetAndMetadata(10, Optional.of(0), "first"),
                words(1), new OffsetAndMetadata(11, ""),
                words(2), new OffsetAndMetadata(12, "third")));
        }
        // A classic group with a static member, which stays.
        var fixed = consumer("fixed", "classic", "group.instance.id", "worker-1", "session.timeout.ms", "1800000");
        poll(fixed);
        fixed.commitSync(Map.of(words(0), new OffsetAndMetadata(20)));
        fixed.close();
        // A consumer group of KIP-848, one member has left and one stays.
        try (var consumer = consumer("modern", "consumer")) {
            poll(consumer);
            consumer.commitSync(Map.of(words(0), new OffsetAndMetadata(30, "kip-848"), words(1), new OffsetAndMetadata(31)));
        }
        var staying = consumer("modern-live", "consumer", "group.instance.id", "worker-2");
        poll(staying);
        staying.commitSync(Map.of(words(2), new OffsetAndMetadata(42)));
        // Commits of a client that is no member, and one of them deleted again.
        try (var admin = Admin.create(Map.<String, Object>of("bootstrap.servers", SERVER))) {
            admin.alterConsumerGroupOffsets("simple", Map.of(words(0), new OffsetAndMetadata(50), words(1), new OffsetAndMetadata(51))).all().get();
            admin.deleteConsumerGroupOffsets("simple", Set.of(words(1))).all().get();
            admin.alterConsumerGroupOffsets("gone", Map.of(words(0), new OffsetAndMetadata(60))).all().get();
            admin.deleteConsumerGroups(List.of("gone")).all().get();
        }
        // Transactions: committed, aborted, and one that stays open.
        var group = new ConsumerGroupMetadata("transactional");
        var committed = producer("committed");
        committed.beginTransaction();
        committed.sendOffsetsToTransaction(Map.of(words(0), new OffsetAndMetadata(70)), group);
        committed.commitTransaction();
        committed.beginTransaction();
        committed.sendOffsetsToTransaction(Map.of(words(1), new OffsetAndMetadata(71)), group);
        committed.abortTransaction();
        committed.close();
        var open = producer("open");
        open.beginTransaction();
        open.sendOffsetsToTransaction(Map.of(words(2), new OffsetAndMetadata(72)), group);
        // A share group.
        try (var share = new KafkaShareConsumer<byte[], byte[]>(
                Map.of("bootstrap.servers", SERVER, "group.id", "shared", "client.id", "golden"),
                new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            share.subscribe(List.of("words"));
            for (int i = 0; i < 10; i++) share.poll(Duration.ofMillis(200));
        }
        Runtime.getRuntime().halt(0);
    }
}
