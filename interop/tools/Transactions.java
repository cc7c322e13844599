// Leaves something to dump behind: transactions that were committed, aborted and are open, enough bytes to roll segments, and a
// share group that has read and acknowledged, released and rejected.
//
// Arguments: the broker, a topic with small segments, a share group.

import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Properties;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Transactions {
    public static void main(String[] arguments) throws Exception {
        String broker = arguments[0];
        String topic = arguments[1];
        String group = arguments[2];
        try (KafkaProducer<String, String> one = producer(broker, "first"); KafkaProducer<String, String> other = producer(broker, "second")) {
            one.beginTransaction();
            send(one, topic, 3, 100);
            one.commitTransaction();
            other.beginTransaction();
            send(other, topic, 2, 100);
            other.abortTransaction();
            // Open while the segment is rolled: it is in the snapshot of the producers' state.
            other.beginTransaction();
            send(other, topic, 1, 100);
            one.beginTransaction();
            send(one, topic, 4, 400_000);
            one.abortTransaction();
            other.commitTransaction();
        }
        share(broker, topic, group);
    }

    static KafkaProducer<String, String> producer(String broker, String id) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", broker);
        properties.put("transactional.id", id);
        properties.put("key.serializer", StringSerializer.class.getName());
        properties.put("value.serializer", StringSerializer.class.getName());
        KafkaProducer<String, String> producer = new KafkaProducer<>(properties);
        producer.initTransactions();
        return producer;
    }

    static void send(KafkaProducer<String, String> producer, String topic, int count, int size) throws Exception {
        for (int number = 0; number < count; number++) {
            producer.send(new ProducerRecord<>(topic, 0, "key-" + number, String.join("", Collections.nCopies(size, "v")))).get();
        }
    }

    static void share(String broker, String topic, String group) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", broker))) {
            ConfigResource resource = new ConfigResource(ConfigResource.Type.GROUP, group);
            AlterConfigOp earliest = new AlterConfigOp(new ConfigEntry("share.auto.offset.reset", "earliest"), AlterConfigOp.OpType.SET);
            admin.incrementalAlterConfigs(Map.of(resource, List.of(earliest))).all().get();
        }
        Properties properties = new Properties();
        properties.put("bootstrap.servers", broker);
        properties.put("group.id", group);
        properties.put("key.deserializer", StringDeserializer.class.getName());
        properties.put("value.deserializer", StringDeserializer.class.getName());
        properties.put("share.acknowledgement.mode", "explicit");
        AcknowledgeType[] types = {AcknowledgeType.ACCEPT, AcknowledgeType.RELEASE, AcknowledgeType.REJECT};
        int seen = 0;
        try (KafkaShareConsumer<String, String> consumer = new KafkaShareConsumer<>(properties)) {
            consumer.subscribe(List.of(topic));
            long until = System.currentTimeMillis() + 60_000;
            while (seen < 5 && System.currentTimeMillis() < until) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofSeconds(1))) {
                    consumer.acknowledge(record, types[seen++ % types.length]);
                }
                consumer.commitSync();
            }
        }
        if (seen < 5) {
            throw new IllegalStateException("the share group has read " + seen + " records");
        }
    }
}
