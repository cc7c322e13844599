// What users of the Java consumer do with groups, once with each group protocol: Groups BOOTSTRAP COUNT [WORDS]
//
// Prints PASS or FAIL for each thing, or only for those with the words in their titles.

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.InvalidRegularExpression;
import org.apache.kafka.common.errors.UnreleasedInstanceIdException;
import org.apache.kafka.common.errors.UnsupportedAssignorException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Groups {
    private static final Duration POLL = Duration.ofMillis(50);
    private static final long PATIENCE_MS = 30_000;
    private static final int PARTITIONS = 4;
    private static final long FIRST_MS = System.currentTimeMillis() - 3_600_000;

    private static String bootstrap;
    private static Admin admin;
    private static String only;
    private static volatile boolean failed;
    private static final AtomicInteger NAMES = new AtomicInteger();

    /** "classic" or "consumer", and the same with the assignor. */
    private final String protocol;
    private final Map<String, String> settings;
    private final String title;
    private final List<KafkaConsumer<String, String>> open = new ArrayList<>();

    public static void main(String[] arguments) throws Exception {
        bootstrap = arguments[0];
        int count = Integer.parseInt(arguments[1]);
        only = arguments.length > 2 ? arguments[2] : "";
        try (Admin client = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin = client;
            String assignor = "partition.assignment.strategy";
            String java = "org.apache.kafka.clients.consumer.";
            List<Groups> kinds = List.of(
                new Groups("classic", "classic, range", Map.of("group.protocol", "classic", assignor, java + "RangeAssignor")),
                new Groups("classic", "classic, cooperative-sticky", Map.of("group.protocol", "classic", assignor, java + "CooperativeStickyAssignor")),
                new Groups("consumer", "consumer, uniform", Map.of("group.protocol", "consumer")),
                new Groups("consumer", "consumer, range", Map.of("group.protocol", "consumer", "group.remote.assignor", "range")));
            // All at once: they mostly wait.
            List<Thread> threads = kinds.stream().map(kind -> new Thread(() -> kind.all(count))).toList();
            threads.forEach(Thread::start);
            for (Thread thread : threads) thread.join();
        }
        System.exit(failed ? 1 : 0);
    }

    private Groups(String protocol, String title, Map<String, String> settings) {
        this.protocol = protocol;
        this.title = title;
        this.settings = settings;
    }

    private void all(int count) {
        check("one member reads all", () -> oneMember(count));
        check("three members share, one leaves, one comes back", this::sharing);
        check("a listener sees each partition given and taken once", this::listener);
        check("commits: sync, async, with metadata and leader epoch", this::commits);
        check("automatic commits, and one that goes on from them", this::automaticCommits);
        check("a commit of one that has been fenced is refused", this::fencedCommit);
        check("seek, seekToBeginning, seekToEnd, position", this::seeking);
        check("pause and resume", this::pausing);
        check("offsetsForTimes, beginningOffsets, endOffsets, currentLag", this::times);
        check("no committed offset: latest, none, by_duration", this::resets);
        check("a subscription by a pattern follows new topics", this::pattern);
        check("a subscription that changes, and unsubscribe", this::changing);
        check("new partitions are taken up", this::newPartitions);
        check("a static member comes back to its partitions without a rebalance", this::staticMember);
        check("two with one instance id", this::sameInstance);
        check("group metadata and enforceRebalance", this::metadata);
        check("close and rejoin, ten times", this::rejoining);
        check("described: state, type, members, assignments", this::described);
        check("offsets altered and deleted, groups deleted", this::offsetsByAdmin);
        if (protocol.equals("consumer")) {
            check("a pattern that the broker resolves", this::brokerPattern);
            check("a pattern that is none", this::badPattern);
            check("an assignor that is none", this::badAssignor);
        } else {
            check("members removed by the admin client", this::removedMembers);
        }
    }

    // What is looked at.

    private String oneMember(int count) throws Exception {
        String topic = topic("all", PARTITIONS, count);
        KafkaConsumer<String, String> consumer = consumer(group(), Map.of());
        consumer.subscribe(List.of(topic));
        Set<String> seen = new HashSet<>();
        until(() -> {
            consumer.poll(POLL).forEach(record -> seen.add(record.value()));
            return seen.size() == count;
        }, () -> seen.size() + " of " + count);
        return count + " records";
    }

    private String sharing() throws Exception {
        String topic = topic("shared", 6, 0);
        String group = group();
        List<KafkaConsumer<String, String>> members = new ArrayList<>();
        for (int joined = 1; joined <= 3; joined++) {
            KafkaConsumer<String, String> member = consumer(group, Map.of());
            member.subscribe(List.of(topic));
            members.add(member);
            balanced(members, topic, 6);
        }
        close(members.remove(0));
        balanced(members, topic, 6);
        KafkaConsumer<String, String> back = consumer(group, Map.of());
        back.subscribe(List.of(topic));
        members.add(back);
        balanced(members, topic, 6);
        return "6 partitions: 6, 3 + 3, 2 + 2 + 2, 3 + 3, 2 + 2 + 2";
    }

    private String listener() throws Exception {
        String topic = topic("listened", PARTITIONS, 0);
        String group = group();
        Set<TopicPartition> held = new HashSet<>();
        List<String> wrong = new ArrayList<>();
        int[] calls = new int[2];
        KafkaConsumer<String, String> first = consumer(group, Map.of());
        first.subscribe(List.of(topic), new ConsumerRebalanceListener() {
            @Override
            public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                calls[0]++;
                partitions.stream().filter(partition -> !held.add(partition)).forEach(partition -> wrong.add("twice given " + partition));
            }

            @Override
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                calls[1]++;
                partitions.stream().filter(partition -> !held.remove(partition)).forEach(partition -> wrong.add("not held " + partition));
            }

            @Override
            public void onPartitionsLost(Collection<TopicPartition> partitions) {
                wrong.add("lost " + partitions);
            }
        });
        balanced(List.of(first), topic, PARTITIONS);
        KafkaConsumer<String, String> second = consumer(group, Map.of());
        second.subscribe(List.of(topic));
        balanced(List.of(first, second), topic, PARTITIONS);
        expect(held.equals(first.assignment()), held + " instead of " + first.assignment());
        close(second);
        balanced(List.of(first), topic, PARTITIONS);
        expect(held.equals(first.assignment()), held + " instead of " + first.assignment());
        close(first);
        expect(held.isEmpty() && wrong.isEmpty(), held + " " + wrong);
        return "";
    }

    private String commits() throws Exception {
        String topic = topic("commits", PARTITIONS, 40);
        String group = group();
        KafkaConsumer<String, String> consumer = consumer(group, Map.of());
        consumer.subscribe(List.of(topic));
        read(consumer, 40);
        consumer.commitSync();
        TopicPartition zero = new TopicPartition(topic, 0);
        TopicPartition one = new TopicPartition(topic, 1);
        expect(offset(consumer, zero) == 10, "committed " + offset(consumer, zero));
        consumer.commitSync(Map.of(zero, new OffsetAndMetadata(3, Optional.of(0), "a note, ümlaut")));
        OffsetAndMetadata found = consumer.committed(Set.of(zero)).get(zero);
        expect(found.equals(new OffsetAndMetadata(3, Optional.of(0), "a note, ümlaut")), found);
        String[] answered = new String[1];
        consumer.commitAsync(Map.of(one, new OffsetAndMetadata(7, "later")), (offsets, error) -> answered[0] = error + " " + offsets.get(one).metadata());
        until(() -> {
            consumer.poll(POLL);
            return answered[0] != null;
        }, () -> "no answer to an asynchronous commit");
        expect(answered[0].equals("null later"), answered[0]);
        expect(offset(consumer, one) == 7, "committed " + offset(consumer, one));
        String huge = "x".repeat(5000);
        String error = thrown(() -> {
            consumer.commitSync(Map.of(zero, new OffsetAndMetadata(4, huge)));
            return null;
        });
        expect(error.startsWith("OffsetMetadataTooLarge"), error);
        expect(offset(consumer, zero) == 3, "committed " + offset(consumer, zero));
        expect(consumer.committed(Set.of(new TopicPartition(topic("other", 1, 0), 0))).values().iterator().next() == null, "an offset from nowhere");
        return "";
    }

    private String automaticCommits() throws Exception {
        String topic = topic("automatic", PARTITIONS, 100);
        String group = group();
        KafkaConsumer<String, String> first = consumer(group, Map.of("enable.auto.commit", "true", "auto.commit.interval.ms", "100"));
        first.subscribe(List.of(topic));
        read(first, 100);
        close(first);
        produce(topic, PARTITIONS, 100, 60);
        KafkaConsumer<String, String> second = consumer(group, Map.of());
        second.subscribe(List.of(topic));
        List<ConsumerRecord<String, String>> rest = read(second, 60);
        expect(rest.stream().allMatch(record -> Integer.parseInt(record.value()) >= 100), "read again");
        return "100, then the other 60";
    }

    private String fencedCommit() throws Exception {
        String topic = topic("fenced", 2, 10);
        String group = group();
        // The classic client gives up by itself when it was not polled; so does the other.
        KafkaConsumer<String, String> slow = consumer(group, Map.of("max.poll.interval.ms", "2000", "max.poll.records", "1"));
        slow.subscribe(List.of(topic));
        read(slow, 1);
        KafkaConsumer<String, String> other = consumer(group, Map.of());
        other.subscribe(List.of(topic));
        balanced(List.of(other), topic, 2);
        String error = thrown(() -> {
            slow.commitSync(Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(1)));
            return null;
        });
        expect(error.startsWith("CommitFailedException") || error.startsWith("RebalanceInProgress"), error);
        return error.substring(0, error.indexOf(':'));
    }

    private String seeking() throws Exception {
        String topic = topic("seek", 1, 50);
        TopicPartition partition = new TopicPartition(topic, 0);
        KafkaConsumer<String, String> consumer = consumer(group(), Map.of());
        consumer.subscribe(List.of(topic));
        read(consumer, 50);
        expect(consumer.position(partition) == 50, consumer.position(partition));
        consumer.seek(partition, 20);
        expect(read(consumer, 30).get(0).offset() == 20, "seek");
        consumer.seek(partition, new OffsetAndMetadata(40, Optional.of(0), ""));
        expect(read(consumer, 10).get(0).offset() == 40, "seek with an epoch");
        consumer.seekToBeginning(List.of(partition));
        expect(read(consumer, 50).get(0).offset() == 0, "seekToBeginning");
        consumer.seekToEnd(List.of(partition));
        expect(consumer.position(partition) == 50, consumer.position(partition));
        return "";
    }

    private String pausing() throws Exception {
        String topic = topic("paused", 2, 20);
        TopicPartition zero = new TopicPartition(topic, 0);
        KafkaConsumer<String, String> consumer = consumer(group(), Map.of());
        consumer.subscribe(List.of(topic));
        balancedWithoutRecords(consumer, topic, 2, List.of(zero));
        expect(consumer.paused().equals(Set.of(zero)), consumer.paused());
        produce(topic, 2, 20, 20);
        List<ConsumerRecord<String, String>> records = read(consumer, 10);
        expect(records.stream().noneMatch(record -> record.partition() == 0), "a paused partition was read");
        consumer.resume(List.of(zero));
        // What partition 0 had from the first round may have been read before the pause.
        until(() -> {
            consumer.poll(POLL);
            return consumer.position(zero) == 20;
        }, () -> "position " + consumer.position(zero));
        return "";
    }

    private String times() throws Exception {
        String topic = topic("times", 2, 20);
        TopicPartition zero = new TopicPartition(topic, 0);
        TopicPartition one = new TopicPartition(topic, 1);
        KafkaConsumer<String, String> consumer = consumer(group(), Map.of());
        consumer.subscribe(List.of(topic));
        read(consumer, 20);
        expect(consumer.currentLag(zero).orElse(-1) == 0, consumer.currentLag(zero));
        // Record N has the time FIRST_MS + 1000 N; partition 1 has the odd ones.
        Map<TopicPartition, OffsetAndTimestamp> found = consumer.offsetsForTimes(Map.of(zero, FIRST_MS + 3500, one, FIRST_MS + 1_000_000));
        expect(found.get(zero).offset() == 2 && found.get(zero).timestamp() == FIRST_MS + 4000, found);
        expect(found.get(one) == null, found);
        expect(consumer.beginningOffsets(List.of(zero)).get(zero) == 0 && consumer.endOffsets(List.of(one)).get(one) == 10, "offsets");
        return "";
    }

    private String resets() throws Exception {
        String topic = topic("resets", 1, 10);
        TopicPartition partition = new TopicPartition(topic, 0);
        KafkaConsumer<String, String> latest = consumer(group(), Map.of("auto.offset.reset", "latest"));
        latest.subscribe(List.of(topic));
        balanced(List.of(latest), topic, 1);
        expect(latest.position(partition) == 10, latest.position(partition));
        KafkaConsumer<String, String> none = consumer(group(), Map.of("auto.offset.reset", "none"));
        none.subscribe(List.of(topic));
        String error = thrown(() -> {
            for (long end = System.currentTimeMillis() + PATIENCE_MS; System.currentTimeMillis() < end;) none.poll(POLL);
            return null;
        });
        expect(error.startsWith("NoOffsetForPartitionException"), error);
        // The records are an hour old.
        KafkaConsumer<String, String> duration = consumer(group(), Map.of("auto.offset.reset", "by_duration:PT2H"));
        duration.subscribe(List.of(topic));
        expect(read(duration, 10).get(0).offset() == 0, "by_duration");
        return "";
    }

    private String pattern() throws Exception {
        String prefix = "pattern" + NAMES.getAndIncrement();
        String first = topic(prefix + "-a", 1, 5);
        topic("not-" + prefix, 1, 5);
        KafkaConsumer<String, String> consumer = consumer(group(), Map.of("metadata.max.age.ms", "500", "enable.auto.commit", "true"));
        consumer.subscribe(Pattern.compile(prefix + "-.*"));
        read(consumer, 5);
        expect(consumer.assignment().equals(Set.of(new TopicPartition(first, 0))), consumer.assignment());
        String second = topic(prefix + "-b", 1, 5);
        read(consumer, 5);
        expect(consumer.assignment().size() == 2, consumer.assignment());
        admin.deleteTopics(List.of(second)).all().get();
        balanced(List.of(consumer), first, 1);
        return "";
    }

    private String changing() throws Exception {
        String one = topic("one", 2, 4);
        String two = topic("two", 2, 4);
        KafkaConsumer<String, String> consumer = consumer(group(), Map.of("enable.auto.commit", "true"));
        consumer.subscribe(List.of(one));
        read(consumer, 4);
        consumer.subscribe(List.of(one, two));
        read(consumer, 4);
        expect(consumer.assignment().size() == 4, consumer.assignment());
        consumer.subscribe(List.of(two));
        balanced(List.of(consumer), two, 2);
        consumer.unsubscribe();
        expect(consumer.assignment().isEmpty() && consumer.subscription().isEmpty(), consumer.assignment());
        consumer.subscribe(List.of(one));
        balanced(List.of(consumer), one, 2);
        return "";
    }

    private String newPartitions() throws Exception {
        String topic = topic("growing", 2, 0);
        KafkaConsumer<String, String> consumer = consumer(group(), Map.of("metadata.max.age.ms", "500"));
        consumer.subscribe(List.of(topic));
        balanced(List.of(consumer), topic, 2);
        admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all().get();
        balanced(List.of(consumer), topic, 5);
        return "2, then 5";
    }

    private String staticMember() throws Exception {
        String topic = topic("static", PARTITIONS, 0);
        String group = group();
        KafkaConsumer<String, String> stays = consumer(group, Map.of("group.instance.id", "stays"));
        stays.subscribe(List.of(topic));
        KafkaConsumer<String, String> returns = consumer(group, Map.of("group.instance.id", "returns"));
        returns.subscribe(List.of(topic));
        balanced(List.of(stays, returns), topic, PARTITIONS);
        int generation = stays.groupMetadata().generationId();
        Set<TopicPartition> before = returns.assignment();
        close(returns);
        KafkaConsumer<String, String> back = consumer(group, Map.of("group.instance.id", "returns"));
        back.subscribe(List.of(topic));
        balanced(List.of(stays, back), topic, PARTITIONS);
        expect(back.assignment().equals(before), back.assignment() + " instead of " + before);
        expect(stays.groupMetadata().generationId() == generation, stays.groupMetadata().generationId() + " instead of " + generation);
        return "generation " + generation;
    }

    private String sameInstance() throws Exception {
        String topic = topic("instance", 2, 0);
        String group = group();
        KafkaConsumer<String, String> first = consumer(group, Map.of("group.instance.id", "same"));
        first.subscribe(List.of(topic));
        balanced(List.of(first), topic, 2);
        KafkaConsumer<String, String> second = consumer(group, Map.of("group.instance.id", "same"));
        second.subscribe(List.of(topic));
        // The classic protocol fences the older, the new one refuses the younger.
        KafkaConsumer<String, String> loser = protocol.equals("classic") ? first : second;
        String[] error = new String[1];
        until(() -> {
            for (KafkaConsumer<String, String> consumer : List.of(first, second)) {
                try {
                    consumer.poll(POLL);
                } catch (FencedInstanceIdException | UnreleasedInstanceIdException fenced) {
                    expect(consumer == loser, "the wrong one: " + fenced);
                    error[0] = fenced.getClass().getSimpleName();
                }
                if (error[0] != null) break;
            }
            return error[0] != null;
        }, () -> "both live");
        return error[0];
    }

    private String metadata() throws Exception {
        String topic = topic("metadata", 2, 0);
        String group = group();
        KafkaConsumer<String, String> consumer = consumer(group, Map.of("group.instance.id", "one"));
        consumer.subscribe(List.of(topic));
        balanced(List.of(consumer), topic, 2);
        expect(consumer.groupMetadata().groupId().equals(group) && consumer.groupMetadata().groupInstanceId().equals(Optional.of("one")), consumer.groupMetadata());
        int generation = consumer.groupMetadata().generationId();
        expect(generation > 0 && !consumer.groupMetadata().memberId().isEmpty(), consumer.groupMetadata());
        if (protocol.equals("classic")) {
            consumer.enforceRebalance("because");
            until(() -> {
                consumer.poll(POLL);
                return consumer.groupMetadata().generationId() > generation;
            }, () -> "generation " + consumer.groupMetadata().generationId());
            balanced(List.of(consumer), topic, 2);
        }
        return "generation " + generation;
    }

    private String rejoining() throws Exception {
        String topic = topic("rejoined", 2, 0);
        String group = group();
        int last = 0;
        for (int turn = 0; turn < 10; turn++) {
            KafkaConsumer<String, String> consumer = consumer(group, Map.of());
            consumer.subscribe(List.of(topic));
            produce(topic, 2, turn * 10, 10);
            List<ConsumerRecord<String, String>> records = read(consumer, 10);
            expect(records.stream().allMatch(record -> Integer.parseInt(record.value()) / 10 == last(records) / 10), "records of another turn");
            consumer.commitSync();
            int generation = consumer.groupMetadata().generationId();
            expect(generation > last, generation + " after " + last);
            last = generation;
            close(consumer);
        }
        return "generation " + last;
    }

    private String described() throws Exception {
        String topic = topic("described", PARTITIONS, 0);
        String group = group();
        KafkaConsumer<String, String> one = consumer(group, Map.of("client.id", "one", "group.instance.id", "uno"));
        KafkaConsumer<String, String> two = consumer(group, Map.of("client.id", "two"));
        one.subscribe(List.of(topic));
        two.subscribe(List.of(topic));
        balanced(List.of(one, two), topic, PARTITIONS);
        ConsumerGroupDescription found = admin.describeConsumerGroups(List.of(group)).all().get().get(group);
        GroupType type = protocol.equals("classic") ? GroupType.CLASSIC : GroupType.CONSUMER;
        expect(found.groupState() == GroupState.STABLE && found.type() == type, found);
        Map<String, Set<TopicPartition>> members = new TreeMap<>();
        for (MemberDescription member : found.members()) members.put(member.clientId(), member.assignment().topicPartitions());
        expect(members.equals(Map.of("one", one.assignment(), "two", two.assignment())), found.members());
        expect(found.members().stream().anyMatch(member -> member.groupInstanceId().equals(Optional.of("uno")) && member.host().equals("/127.0.0.1")), found.members());
        Collection<GroupListing> listed = admin.listGroups(ListGroupsOptions.forConsumerGroups()).all().get();
        expect(listed.stream().anyMatch(listing -> listing.groupId().equals(group) && listing.type().equals(Optional.of(type)) && listing.groupState().equals(Optional.of(GroupState.STABLE))), listed);
        return found.partitionAssignor();
    }

    private String offsetsByAdmin() throws Exception {
        String topic = topic("altered", 2, 10);
        String group = group();
        TopicPartition zero = new TopicPartition(topic, 0);
        TopicPartition one = new TopicPartition(topic, 1);
        KafkaConsumer<String, String> consumer = consumer(group, Map.of());
        consumer.subscribe(List.of(topic));
        read(consumer, 10);
        consumer.commitSync();
        String error = thrown(() -> admin.deleteConsumerGroups(List.of(group)).all().get());
        expect(error.startsWith("GroupNotEmptyException"), error);
        error = thrown(() -> admin.alterConsumerGroupOffsets(group, Map.of(zero, new OffsetAndMetadata(2))).all().get());
        expect(error.startsWith("UnknownMemberIdException"), error);
        error = thrown(() -> admin.deleteConsumerGroupOffsets(group, Set.of(zero)).partitionResult(zero).get());
        expect(error.startsWith("GroupSubscribedToTopicException"), error);
        close(consumer);
        admin.alterConsumerGroupOffsets(group, Map.of(zero, new OffsetAndMetadata(2, "set"))).all().get();
        Map<TopicPartition, OffsetAndMetadata> offsets = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        expect(offsets.get(zero).equals(new OffsetAndMetadata(2, "set")) && offsets.get(one).offset() == 5, offsets);
        admin.deleteConsumerGroupOffsets(group, Set.of(one)).all().get();
        expect(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().keySet().equals(Set.of(zero)), "not deleted");
        admin.deleteConsumerGroups(List.of(group)).all().get();
        error = thrown(() -> admin.deleteConsumerGroups(List.of(group)).all().get());
        expect(error.startsWith("GroupIdNotFoundException"), error);
        return "";
    }

    private String brokerPattern() throws Exception {
        String prefix = "resolved" + NAMES.getAndIncrement();
        String first = topic(prefix + "-a", 1, 5);
        topic("not-" + prefix, 1, 5);
        KafkaConsumer<String, String> consumer = consumer(group(), Map.of());
        consumer.subscribe(new SubscriptionPattern(prefix + "-[ab]-[0-9]+"));
        read(consumer, 5);
        expect(consumer.assignment().equals(Set.of(new TopicPartition(first, 0))), consumer.assignment());
        topic(prefix + "-b", 1, 5);
        topic(prefix + "-c", 1, 5);
        read(consumer, 5);
        expect(consumer.assignment().size() == 2, consumer.assignment());
        return "";
    }

    private String badPattern() throws Exception {
        KafkaConsumer<String, String> consumer = consumer(group(), Map.of());
        consumer.subscribe(new SubscriptionPattern("(["));
        String error = thrown(() -> {
            for (long end = System.currentTimeMillis() + PATIENCE_MS; System.currentTimeMillis() < end;) consumer.poll(POLL);
            return null;
        });
        expect(error.startsWith(InvalidRegularExpression.class.getSimpleName()), error);
        return error;
    }

    private String badAssignor() throws Exception {
        KafkaConsumer<String, String> consumer = consumer(group(), Map.of("group.remote.assignor", "nobody"));
        consumer.subscribe(List.of(topic("assignor", 1, 0)));
        String error = thrown(() -> {
            for (long end = System.currentTimeMillis() + PATIENCE_MS; System.currentTimeMillis() < end;) consumer.poll(POLL);
            return null;
        });
        expect(error.startsWith(UnsupportedAssignorException.class.getSimpleName()), error);
        return error;
    }

    private String removedMembers() throws Exception {
        String topic = topic("removed", 2, 0);
        String group = group();
        KafkaConsumer<String, String> member = consumer(group, Map.of("group.instance.id", "removed"));
        member.subscribe(List.of(topic));
        KafkaConsumer<String, String> stays = consumer(group, Map.of());
        stays.subscribe(List.of(topic));
        balanced(List.of(member, stays), topic, 2);
        close(member);
        admin.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("removed")))).all().get();
        balanced(List.of(stays), topic, 2);
        return "";
    }

    // What all of them use.

    private interface Check {
        String run() throws Exception;
    }

    private void check(String what, Check check) {
        String name = (title + ", " + what).replace(": ", " ");
        if (!name.contains(only)) return;
        try {
            System.out.println("PASS " + name + ": " + oneLine(check.run()));
        } catch (Throwable error) {
            failed = true;
            StackTraceElement[] trace = error.getStackTrace();
            String where = Stream.of(trace).filter(frame -> frame.getClassName().startsWith("Groups")).skip(error instanceof AssertionError ? 1 : 0)
                .findFirst().map(frame -> "line " + frame.getLineNumber()).orElse("?");
            System.out.println("FAIL " + name + ": " + where + ": " + oneLine(error.toString()));
        }
        for (KafkaConsumer<String, String> consumer : List.copyOf(open)) close(consumer);
    }

    private static String oneLine(String text) {
        return text.replace('\n', ' ');
    }

    private static void expect(boolean condition, Object otherwise) {
        if (!condition) throw new AssertionError(otherwise);
    }

    private static void until(Callable<Boolean> condition, Callable<Object> otherwise) throws Exception {
        long end = System.currentTimeMillis() + PATIENCE_MS;
        while (!condition.call()) {
            if (System.currentTimeMillis() > end) throw new AssertionError(otherwise.call());
        }
    }

    /** The name of the error and its message; fails if there is none. */
    private static String thrown(Callable<Object> action) throws Exception {
        try {
            action.call();
        } catch (ExecutionException error) {
            return error.getCause().getClass().getSimpleName() + ": " + error.getCause().getMessage();
        } catch (Exception error) {
            return error.getClass().getSimpleName() + ": " + error.getMessage();
        }
        throw new AssertionError("no error");
    }

    private String group() {
        return protocol + "-group-" + NAMES.getAndIncrement();
    }

    private String topic(String prefix, int partitions, int records) throws Exception {
        String topic = prefix + "-" + NAMES.getAndIncrement();
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all().get();
        produce(topic, partitions, 0, records);
        return topic;
    }

    private static void produce(String topic, int partitions, int first, int count) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer())) {
            // Brokers refuse times that are more than an hour ahead (message.timestamp.after.max.ms).
            long step = count > 5_000 ? 10 : 1_000;
            for (int number : IntStream.range(first, first + count).toArray()) {
                producer.send(new ProducerRecord<>(topic, number % partitions, FIRST_MS + step * number, "key-" + number, String.valueOf(number)));
            }
        }
    }

    private KafkaConsumer<String, String> consumer(String group, Map<String, String> more) {
        Map<String, Object> all = new HashMap<>(settings);
        all.put("bootstrap.servers", bootstrap);
        all.put("group.id", group);
        all.put("enable.auto.commit", "false");
        all.put("auto.offset.reset", "earliest");
        all.put("max.poll.interval.ms", "10000");
        all.put("default.api.timeout.ms", "15000");
        if (protocol.equals("classic")) all.putAll(Map.of("session.timeout.ms", "6000", "heartbeat.interval.ms", "300"));
        all.putAll(more);
        KafkaConsumer<String, String> consumer = new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
        open.add(consumer);
        return consumer;
    }

    private void close(KafkaConsumer<String, String> consumer) {
        open.remove(consumer);
        try {
            consumer.close(Duration.ofSeconds(5));
        } catch (Exception error) {
            // One that was fenced says so again when it is closed.
        }
    }

    private static List<ConsumerRecord<String, String>> read(KafkaConsumer<String, String> consumer, int count) throws Exception {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        until(() -> {
            consumer.poll(POLL).forEach(records::add);
            return records.size() >= count;
        }, () -> records.size() + " of " + count + " records");
        expect(records.size() == count, records.size() + " records instead of " + count);
        return records;
    }

    private static int last(List<ConsumerRecord<String, String>> records) {
        return records.stream().mapToInt(record -> Integer.parseInt(record.value())).max().orElse(-1);
    }

    private static long offset(KafkaConsumer<String, String> consumer, TopicPartition partition) {
        return consumer.committed(Set.of(partition)).get(partition).offset();
    }

    /** Polls all of them until they have a topic's partitions, each one of them, in equal shares. */
    private static void balanced(List<KafkaConsumer<String, String>> members, String topic, int partitions) throws Exception {
        Set<TopicPartition> all = IntStream.range(0, partitions).mapToObj(number -> new TopicPartition(topic, number)).collect(Collectors.toSet());
        until(() -> {
            members.forEach(member -> member.poll(POLL));
            List<TopicPartition> owned = members.stream().flatMap(member -> member.assignment().stream()).toList();
            return owned.size() == partitions && all.equals(Set.copyOf(owned))
                && members.stream().allMatch(member -> member.assignment().size() >= partitions / members.size());
        }, () -> members.stream().map(member -> new TreeSet<>(member.assignment().stream().map(TopicPartition::toString).toList())).toList());
    }

    /** Waits for the assignment and pauses some of it before anything of it is read. */
    private static void balancedWithoutRecords(KafkaConsumer<String, String> member, String topic, int partitions, List<TopicPartition> paused) throws Exception {
        balanced(List.of(member), topic, partitions);
        until(() -> {
            member.poll(POLL);
            return IntStream.range(0, partitions).allMatch(number -> member.position(new TopicPartition(topic, number)) == 20 / partitions);
        }, () -> "not read");
        member.pause(paused);
    }
}
