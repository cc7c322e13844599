// A member of a group on Apache Kafka's Java client: Member BOOTSTRAP GROUP TOPIC [KEY=VALUE...]
//
// It says on its standard output what becomes of it (README.md), and leaves the group when its standard input ends.

import java.io.IOException;
import java.io.PrintStream;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public class Member implements ConsumerRebalanceListener {
    private static final Map<String, String> ASSIGNORS = Map.of(
        "range", "org.apache.kafka.clients.consumer.RangeAssignor",
        "roundrobin", "org.apache.kafka.clients.consumer.RoundRobinAssignor",
        "cooperative-sticky", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
    private static final long COMMIT_EVERY_MS = 300;

    private final KafkaConsumer<byte[], byte[]> consumer;
    private volatile boolean leaving;

    public static void main(String[] arguments) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[0]);
        properties.put("group.id", arguments[1]);
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "earliest");
        for (String setting : List.of(arguments).subList(3, arguments.length)) {
            String[] words = setting.split("=", 2);
            boolean assignor = words[0].equals("partition.assignment.strategy");
            properties.put(words[0], assignor ? ASSIGNORS.get(words[1]) : words[1]);
        }
        new Member(properties).run(arguments[2]);
    }

    private Member(Properties properties) {
        consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private void run(String topic) {
        Thread input = new Thread(() -> {
            try {
                while (System.in.read() >= 0) { }
            } catch (IOException error) {
                say("error " + error);
            }
            leaving = true;
        });
        input.setDaemon(true);
        input.start();
        try (consumer) {
            consumer.subscribe(List.of(topic), this);
            long committed = System.currentTimeMillis();
            while (!leaving) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(100));
                for (TopicPartition partition : records.partitions()) read(partition, records.records(partition));
                if (System.currentTimeMillis() - committed >= COMMIT_EVERY_MS) {
                    consumer.commitAsync();
                    committed = System.currentTimeMillis();
                }
            }
        }
        say("left");
    }

    private void read(TopicPartition partition, List<ConsumerRecord<byte[], byte[]>> records) {
        long first = records.get(0).offset();
        long last = records.get(records.size() - 1).offset();
        if (last - first + 1 != records.size()) say("error records are missing between " + first + " and " + last);
        say("read " + partition.partition() + " " + first + " " + last);
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        say("assigned " + generation() + " " + numbers(partitions));
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        try {
            consumer.commitSync();
        } catch (KafkaException error) {
            say("error commit: " + error);
        }
        say("revoked " + generation() + " " + numbers(partitions));
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        say("lost " + generation() + " " + numbers(partitions));
    }

    private int generation() {
        return consumer.groupMetadata().generationId();
    }

    private static String numbers(Collection<TopicPartition> partitions) {
        return partitions.stream().map(partition -> String.valueOf(partition.partition())).collect(Collectors.joining(","));
    }

    private static void say(String event) {
        PrintStream out = System.out;
        out.println(ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now()) + " " + event);
        out.flush();
    }
}
