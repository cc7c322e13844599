import java.nio.ByteBuffer;
import java.util.*;
import java.util.stream.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.*;
import org.apache.kafka.clients.consumer.internals.ConsumerProtocol;
import org.apache.kafka.common.*;

public class Assignors {
    static String hex(ByteBuffer b) {
        StringBuilder s = new StringBuilder();
        b = b.duplicate();
        while (b.hasRemaining()) s.append(String.format("%02x", b.get()));
        return s.toString();
    }
    static final class M { String id, instance, rack; List<String> topics; List<TopicPartition> owned = new ArrayList<>(); int generation = -1; ConsumerPartitionAssignor assignor; }
    static ConsumerPartitionAssignor make(String name) {
        switch (name) {
            case "range": return new RangeAssignor();
            case "roundrobin": return new RoundRobinAssignor();
            case "sticky": return new StickyAssignor();
            default: return new CooperativeStickyAssignor();
        }
    }
    public static void main(String[] args) {
        Random random = new Random(20261121);
        for (String name : List.of("range", "roundrobin", "sticky", "cooperative-sticky")) {
            for (int chain = 0; chain < 20; chain++) {
                boolean racks = chain % 4 == 3;
                boolean same = chain % 2 == 0;
                int topicCount = 1 + random.nextInt(4);
                Map<String, Integer> topics = new TreeMap<>();
                int common = 1 + random.nextInt(6);
                for (int t = 0; t < topicCount; t++) topics.put("topic" + t, chain % 5 == 0 ? common : 1 + random.nextInt(7));
                Node[] nodes = new Node[3];
                for (int n = 0; n < 3; n++) nodes[n] = new Node(n, "h", 1, racks ? "rack" + n : null);
                Map<TopicPartition, Node[]> replicas = new HashMap<>();
                List<M> members = new ArrayList<>();
                int next = 0;
                for (int round = 0; round < 3; round++) {
                    if (round > 0 && random.nextInt(3) == 0) { String t = "topic" + random.nextInt(topicCount); topics.merge(t, 1 + random.nextInt(2), Integer::sum); }
                    if (round > 0 && members.size() > 1 && random.nextBoolean()) members.remove(random.nextInt(members.size()));
                    int join = round == 0 ? 1 + random.nextInt(5) : random.nextInt(3);
                    for (int j = 0; j < join; j++) {
                        M m = new M();
                        m.id = "member-" + (char) ('a' + random.nextInt(26)) + next++;
                        m.instance = random.nextInt(5) == 0 ? "static" + next : null;
                        m.rack = racks && random.nextInt(5) > 0 ? "rack" + random.nextInt(3) : null;
                        List<String> all = new ArrayList<>(topics.keySet());
                        if (!same) { Collections.shuffle(all, random); all = all.subList(0, 1 + random.nextInt(all.size())); }
                        m.topics = new ArrayList<>(new TreeSet<>(all));
                        if (chain % 7 == 6) m.topics.add("missing");
                        m.assignor = make(name);
                        members.add(m);
                    }
                    List<PartitionInfo> infos = new ArrayList<>();
                    for (Map.Entry<String, Integer> e : topics.entrySet()) for (int p = 0; p < e.getValue(); p++) {
                        TopicPartition tp = new TopicPartition(e.getKey(), p);
                        Node[] of = replicas.computeIfAbsent(tp, x -> random.nextBoolean() ? new Node[]{nodes[random.nextInt(3)]} : new Node[]{nodes[x.partition() % 3], nodes[(x.partition() + 1) % 3]});
                        infos.add(new PartitionInfo(tp.topic(), p, of[0], of, of));
                    }
                    Cluster cluster = new Cluster("c", Arrays.asList(nodes), infos, Set.of(), Set.of());
                    System.out.println("case " + name);
                    for (Map.Entry<String, Integer> e : topics.entrySet()) {
                        StringBuilder s = new StringBuilder("topic " + e.getKey());
                        for (int p = 0; p < e.getValue(); p++)
                            s.append(" ").append(Arrays.stream(replicas.get(new TopicPartition(e.getKey(), p))).map(n -> n.rack() == null ? "-" : n.rack()).distinct().collect(Collectors.joining(",")));
                        System.out.println(s);
                    }
                    Map<String, Subscription> subs = new TreeMap<>();
                    boolean eager = !name.equals("cooperative-sticky");
                    for (M m : members) {
                        Subscription sub = new Subscription(m.topics, m.assignor.subscriptionUserData(new TreeSet<>(m.topics)), eager ? List.of() : m.owned, m.generation, Optional.ofNullable(m.rack));
                        ByteBuffer bytes = ConsumerProtocol.serializeSubscription(sub);
                        System.out.println("member " + m.id + " " + (m.instance == null ? "-" : m.instance) + " " + hex(bytes));
                        Subscription read = ConsumerProtocol.deserializeSubscription(bytes.duplicate());
                        read.setGroupInstanceId(Optional.ofNullable(m.instance));
                        subs.put(m.id, read);
                    }
                    GroupAssignment result = make(name).assign(cluster, new GroupSubscription(new HashMap<>(subs)));
                    for (M m : members) {
                        Assignment a = result.groupAssignment().get(m.id);
                        List<TopicPartition> sorted = new ArrayList<>(a.partitions());
                        sorted.sort(Comparator.comparing(TopicPartition::topic).thenComparing(TopicPartition::partition));
                        System.out.println("share " + m.id + " " + hex(ConsumerProtocol.serializeAssignment(new Assignment(sorted))));
                        boolean keep = random.nextInt(8) > 0;
                        if (keep) {
                            m.generation = round + 1;
                            m.owned = sorted;
                            m.assignor.onAssignment(a, new ConsumerGroupMetadata("g", round + 1, m.id, Optional.empty()));
                        }
                    }
                }
            }
        }
    }
}
