// An instance of an application that counts words, in a streams group (KIP-1071): BOOTSTRAP APPLICATION DIRECTORY
//
// Prints `TASKS` and its active tasks whenever these are others than before, and goes on until its standard input ends.

import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import java.util.TreeSet;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.Stores;

public class WordCount {
    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("application.id", arguments[1]);
        settings.put("state.dir", arguments[2]);
        settings.put("group.protocol", "streams");
        settings.put("num.stream.threads", "2");
        settings.put("commit.interval.ms", "500");
        settings.put("auto.offset.reset", "earliest");

        // Of two parts: words go through a topic of their own to whoever counts them, and counts into a changelog.
        var strings = Serdes.String();
        var store = Stores.inMemoryKeyValueStore("counts");
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream("lines", Consumed.with(strings, strings))
            .flatMapValues(line -> Arrays.asList(line.split(" ")))
            .groupBy((key, word) -> word, Grouped.with(strings, strings))
            .count(Materialized.<String, Long>as(store).withKeySerde(strings).withValueSerde(Serdes.Long()))
            .toStream()
            .mapValues(count -> Long.toString(count))
            .to("counts", Produced.with(strings, strings));
        KafkaStreams streams = new KafkaStreams(builder.build(settings), settings);
        streams.start();

        String before = "";
        while (!over && streams.state() != KafkaStreams.State.ERROR) {
            TreeSet<String> tasks = new TreeSet<>();
            streams.metadataForLocalThreads().forEach(
                thread -> thread.activeTasks().forEach(task -> tasks.add(task.taskId().toString())));
            String now = "TASKS " + String.join(" ", tasks);
            if (!now.equals(before)) {
                System.out.println(now);
                before = now;
            }
            Thread.sleep(100);
        }
        if (!over) {
            System.err.println("the application is in state " + streams.state());
            System.exit(1);
        }
        System.exit(streams.close(Duration.ofSeconds(60)) ? 0 : 1);
    }

    /** The standard input has ended. */
    private static volatile boolean over = false;

    static {
        Thread reader = new Thread(() -> {
            try {
                while (System.in.read() >= 0) {
                }
            } catch (java.io.IOException error) {
                // As good as its end.
            }
            over = true;
        });
        reader.setDaemon(true);
        reader.start();
    }
}
