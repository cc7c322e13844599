import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.serialization.*;
public class Golden {
  static String B = "127.0.0.1:39092";
  static long T0 = 1795000000000L;
  static KafkaProducer<byte[],byte[]> producer(String codec, String txn) {
    Properties p = new Properties();
    p.put("bootstrap.servers", B); p.put("acks", "all"); p.put("linger.ms", "1000"); p.put("batch.size", "100000");
    p.put("compression.type", codec); if (txn != null) p.put("transactional.id", txn);
    return new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer());
  }
  static long n = 0;
  static Random r = new Random(42);
  static void batch(KafkaProducer<byte[],byte[]> p, String topic, int count, int size) throws Exception {
    for (int i = 0; i < count; i++) {
      byte[] v = new byte[size]; for (int k = 0; k < size; k++) v[k] = (byte)('a' + r.nextInt(26));
      // timestamps that do not always rise
      long ts = T0 + n * 10 - (n % 7) * 25; n++;
      p.send(new ProducerRecord<>(topic, 0, ts, ("key" + n).getBytes(), v));
    }
    p.flush();
  }
  public static void main(String[] a) throws Exception {
    Admin admin = Admin.create(Map.of("bootstrap.servers", B));
    Map<String, Map<String,String>> topics = new LinkedHashMap<>();
    topics.put("plain", Map.of());
    topics.put("rolled", Map.of("internal.segment.bytes", "6000", "index.interval.bytes", "500"));
    topics.put("transactions", Map.of("internal.segment.bytes", "4000", "index.interval.bytes", "0"));
    topics.put("codecs", Map.of("index.interval.bytes", "300"));
    topics.put("append-time", Map.of("message.timestamp.type", "LogAppendTime", "index.interval.bytes", "200"));
    topics.put("deleted", Map.of("internal.segment.bytes", "3000"));
    List<NewTopic> l = new ArrayList<>();
    for (var e : topics.entrySet()) l.add(new NewTopic(e.getKey(), 1, (short)1).configs(e.getValue()));
    try { admin.createTopics(l).all().get(); } catch (Exception e) { System.out.println(e); }
    var p = producer("none", null); var q = producer("none", null);
    for (int i = 0; i < 20; i++) batch(p, "plain", 1 + i % 4, 120);
    for (int i = 0; i < 40; i++) batch(i % 3 == 0 ? q : p, "rolled", 1 + i % 5, 60 + 10 * (i % 9));
    for (int i = 0; i < 30; i++) batch(p, "deleted", 3, 60);
    for (int i = 0; i < 8; i++) batch(p, "append-time", 2, 70);
    for (String c : List.of("gzip", "snappy", "lz4", "zstd")) { var z = producer(c, null); batch(z, "codecs", 20, 50); batch(z, "codecs", 3, 200); z.close(); }
    var t1 = producer("none", "t1"); var t2 = producer("none", "t2"); t1.initTransactions(); t2.initTransactions();
    for (int i = 0; i < 12; i++) {
      t1.beginTransaction(); batch(t1, "transactions", 2, 100);
      t2.beginTransaction(); batch(t2, "transactions", 1, 150);
      batch(p, "transactions", 2, 50);
      if (i % 3 == 0) t1.abortTransaction(); else t1.commitTransaction();
      batch(t2, "transactions", 1, 80);
      if (i % 4 == 1) t2.abortTransaction(); else t2.commitTransaction();
      Thread.sleep(50);
    }
    t1.beginTransaction(); batch(t1, "transactions", 3, 40);
    // left open: the node is stopped with an ongoing transaction
    admin.deleteRecords(Map.of(new TopicPartition("deleted", 0), RecordsToDelete.beforeOffset(31))).all().get();
    Thread.sleep(3000);
    for (String t : topics.keySet()) {
      var tp = new TopicPartition(t, 0);
      System.out.println(t + " start " + admin.listOffsets(Map.of(tp, OffsetSpec.earliest())).all().get().get(tp)
        + " end " + admin.listOffsets(Map.of(tp, OffsetSpec.latest())).all().get().get(tp)
        + " max " + admin.listOffsets(Map.of(tp, OffsetSpec.maxTimestamp())).all().get().get(tp)
        + " lso " + admin.listOffsets(Map.of(tp, OffsetSpec.latest()), new ListOffsetsOptions(IsolationLevel.READ_COMMITTED)).all().get().get(tp).offset());
      for (long ts : new long[] {T0, T0 + 333, T0 + 1000, T0 + 2000, T0 + 2777, T0 + 3500}) {
        System.out.println(t + " at " + ts + " " + admin.listOffsets(Map.of(tp, OffsetSpec.forTimestamp(ts))).all().get().get(tp));
      }
    }
    System.exit(0);
  }
}
