import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.config.*;
import org.apache.kafka.common.header.internals.*;
import org.apache.kafka.common.serialization.*;
public class Compaction {
  static String B = "127.0.0.1:" + System.getenv().getOrDefault("PORT", "39092");
  static long n = 0, t0;
  static Random r = new Random(42);
  static List<String> TOPICS = List.of("puts", "codecs", "transactions", "append-time", "keyless");
  static KafkaProducer<byte[],byte[]> producer(String codec, String txn) {
    Properties p = new Properties();
    p.put("bootstrap.servers", B); p.put("acks", "all"); p.put("linger.ms", "1000"); p.put("batch.size", "100000");
    p.put("compression.type", codec); if (txn != null) p.put("transactional.id", txn);
    return new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer());
  }
  static void batch(KafkaProducer<byte[],byte[]> p, String topic, int count, int size, int keys) throws Exception {
    for (int i = 0; i < count; i++) {
      byte[] v = new byte[r.nextInt(size) + 1]; for (int k = 0; k < v.length; k++) v[k] = (byte)('a' + r.nextInt(26));
      if (r.nextInt(8) == 0) v = null;
      byte[] key = topic.equals("keyless") && r.nextInt(2) == 0 ? null : ("key" + r.nextInt(keys)).getBytes();
      if (topic.equals("keyless") && v == null) v = new byte[0];
      var headers = new RecordHeaders(); if (r.nextInt(3) == 0) headers.add("h", new byte[] {(byte) i});
      long ts = t0 + n * 10 - (n % 7) * 25; n++;
      p.send(new ProducerRecord<>(topic, 0, ts, key, v, headers));
    }
    p.flush();
  }
  public static void main(String[] a) throws Exception {
    Admin admin = Admin.create(Map.of("bootstrap.servers", B));
    t0 = Long.parseLong(a[1]);
    switch (a[0]) {
      case "create" -> {
        List<NewTopic> l = new ArrayList<>();
        for (String t : TOPICS) {
          var c = new HashMap<>(Map.of("internal.segment.bytes", "3000", "index.interval.bytes", "400", "retention.ms", "-1",
            "delete.retention.ms", "20000", "min.cleanable.dirty.ratio", "0.01"));
          if (t.equals("append-time")) c.put("message.timestamp.type", "LogAppendTime");
          l.add(new NewTopic(t, 1, (short)1).configs(c));
        }
        admin.createTopics(l).all().get();
        write(5);
      }
      case "more" -> { r = new Random(43); n = 10000; write(3); }
      case "policy" -> {
        Map<ConfigResource, Collection<AlterConfigOp>> m = new HashMap<>();
        for (String t : TOPICS) m.put(new ConfigResource(ConfigResource.Type.TOPIC, t),
          List.of(new AlterConfigOp(new ConfigEntry("cleanup.policy", a[2]), AlterConfigOp.OpType.SET)));
        admin.incrementalAlterConfigs(m).all().get();
      }
    }
    System.exit(0);
  }
  static void write(int times) throws Exception {
    var p = producer("none", null); var q = producer("none", null);
    for (int i = 0; i < times * 8; i++) batch(i % 3 == 0 ? q : p, "puts", 1 + i % 5, 120, 12);
    for (int i = 0; i < times * 4; i++) batch(p, "append-time", 1 + i % 4, 100, 6);
    for (int i = 0; i < times * 3; i++) batch(p, "keyless", 1 + i % 4, 150, 6);
    for (int i = 0; i < times; i++) for (String c : List.of("gzip", "snappy", "lz4", "zstd")) {
      var z = producer(c, null); batch(z, "codecs", 12, 100, 15); batch(z, "codecs", 3, 200, 30); z.close();
    }
    var t1 = producer("none", "t1-" + times); var t2 = producer("none", "t2-" + times); t1.initTransactions(); t2.initTransactions();
    for (int i = 0; i < times * 5; i++) {
      t1.beginTransaction(); batch(t1, "transactions", 2, 100, 10);
      t2.beginTransaction(); batch(t2, "transactions", 1, 150, 10);
      batch(p, "transactions", 2, 50, 10);
      if (i % 3 == 0) t1.abortTransaction(); else t1.commitTransaction();
      batch(t2, "transactions", 1, 80, 10);
      if (i % 4 == 1) t2.abortTransaction(); else t2.commitTransaction();
      Thread.sleep(50);
    }
    for (var x : List.of(p, q, t1, t2)) x.close();
  }
}
