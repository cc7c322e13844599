// Lines of a file through Apache Kafka's Java client, as users configure it (idempotent, acks=all by default).
//
//   java -cp 'target/apache-kafka/broker/*' Lines.java produce BOOTSTRAP TOPIC CODEC FILE
//   java -cp 'target/apache-kafka/broker/*' Lines.java consume BOOTSTRAP TOPIC COUNT FILE

import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class Lines {
    private static final long PATIENCE_MS = 60_000;

    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[1]);
        if (arguments[0].equals("produce")) produce(properties, arguments[2], arguments[3], Path.of(arguments[4]));
        else consume(properties, arguments[2], Long.parseLong(arguments[3]), Path.of(arguments[4]));
    }

    private static void produce(Properties properties, String topic, String codec, Path file) throws Exception {
        properties.put("compression.type", codec);
        properties.put("linger.ms", "5");
        AtomicReference<Exception> failure = new AtomicReference<>();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
             BufferedReader lines = Files.newBufferedReader(file)) {
            for (String line = lines.readLine(); line != null && failure.get() == null; line = lines.readLine()) {
                producer.send(new ProducerRecord<>(topic, 0, null, line.getBytes(StandardCharsets.UTF_8)), (metadata, error) -> {
                    if (error != null) failure.set(error);
                });
            }
        }
        if (failure.get() != null) throw failure.get();
    }

    private static void consume(Properties properties, String topic, long count, Path file) throws Exception {
        properties.put("auto.offset.reset", "earliest");
        properties.put("enable.auto.commit", "false");
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
             OutputStream out = new BufferedOutputStream(Files.newOutputStream(file), 1 << 16)) {
            TopicPartition partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long read = 0;
            long last = System.currentTimeMillis();
            while (read < count && System.currentTimeMillis() - last < PATIENCE_MS) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    if (record.offset() != read) throw new IllegalStateException("offset " + record.offset() + " instead of " + read);
                    out.write(record.value());
                    out.write('\n');
                    read++;
                    last = System.currentTimeMillis();
                }
            }
            if (read != count) throw new IllegalStateException(read + " records instead of " + count);
            if (!consumer.poll(Duration.ofMillis(300)).isEmpty()) throw new IllegalStateException("more records than " + count);
        }
    }
}
