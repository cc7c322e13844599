// An idempotent producer through crashes of its broker: Load.java BOOTSTRAP TOPIC COUNT RATE.
//
// Sends the numbers below COUNT, RATE in a second, and prints `NUMBER PARTITION OFFSET TIME` for each that the broker
// acknowledged, with the time of the acknowledgement in milliseconds. Ends well when every one is. A COUNT of 0: until its
// standard input ends.

import java.io.IOException;
import java.io.PrintStream;
import java.io.FileOutputStream;
import java.io.FileDescriptor;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public class Load {
    public static void main(String[] arguments) throws Exception {
        String topic = arguments[1];
        int given = Integer.parseInt(arguments[2]);
        AtomicInteger count = new AtomicInteger(given == 0 ? Integer.MAX_VALUE : given);
        if (given == 0) untilInputEnds(count);
        int rate = Integer.parseInt(arguments[3]);
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[0]);
        // As long as load.py waits.
        properties.put("delivery.timeout.ms", "600000");
        properties.put("max.block.ms", "600000");
        properties.put("reconnect.backoff.max.ms", "500");
        properties.put("linger.ms", "5");
        properties.put("batch.size", "2000");
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true);
        AtomicReference<Exception> failure = new AtomicReference<>();
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer())) {
            long started = System.nanoTime();
            for (int number = 0; number < count.get(); number++) {
                String value = Integer.toString(number);
                producer.send(new ProducerRecord<>(topic, number % 2, null, value), (metadata, error) -> {
                    if (error != null) failure.compareAndSet(null, error);
                    else out.println(value + " " + metadata.partition() + " " + metadata.offset() + " " + System.currentTimeMillis());
                });
                long ahead = number * 1_000_000_000L / rate - (System.nanoTime() - started);
                if (ahead > 2_000_000) Thread.sleep(ahead / 1_000_000);
            }
        }
        if (failure.get() != null) throw failure.get();
    }

    private static void untilInputEnds(AtomicInteger count) {
        Thread input = new Thread(() -> {
            try {
                while (System.in.read() >= 0) { }
            } catch (IOException error) {
                System.err.println(error);
            }
            count.set(0);
        });
        input.setDaemon(true);
        input.start();
    }
}
