import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import java.util.stream.Stream;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.KRaftVersionRecord;
import org.apache.kafka.common.message.LeaderChangeMessage;
import org.apache.kafka.common.message.SnapshotFooterRecord;
import org.apache.kafka.common.message.SnapshotHeaderRecord;
import org.apache.kafka.common.message.VotersRecord;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.DefaultRecordBatch;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.utils.internals.BufferSupplier;
import org.apache.kafka.common.utils.internals.ByteBufferOutputStream;

/**
 * Writes record batches with Apache Kafka's own classes, each as NAME.bin, with NAME.txt beside it: what Kafka reads
 * from those bytes. With "describe FILE..." it prints what Kafka reads from batches that somebody else wrote.
 */
public class RecordVectors {
    static final long T = 1_700_000_000_000L;
    static final HexFormat HEX = HexFormat.of();
    static final byte[] NULL = null;
    static Path directory;

    public static void main(String[] args) throws Exception {
        if (args[0].equals("describe")) {
            for (String file : Arrays.copyOfRange(args, 1, args.length))
                System.out.print(describe(ByteBuffer.wrap(Files.readAllBytes(Path.of(file)))));
            return;
        }
        directory = Path.of(args[0]);

        for (Compression codec : List.of(Compression.NONE, Compression.gzip().build(), Compression.snappy().build(),
                Compression.lz4().build(), Compression.zstd().build())) {
            String name = codec.type().name;
            put("codec-" + name, build(codec, b -> simple(b)));
            if (codec != Compression.NONE)
                put("codec-" + name + "-several-blocks", build(codec, b -> large(b)));
        }
        put("level-gzip-9", build(Compression.gzip().level(9).build(), b -> large(b)));
        put("level-lz4-17", build(Compression.lz4().level(17).build(), b -> large(b)));
        put("level-zstd-22", build(Compression.zstd().level(22).build(), b -> large(b)));
        put("level-zstd-minus-5", build(Compression.zstd().level(-5).build(), b -> large(b)));

        put("headers", build(Compression.NONE, b -> {
            b.append(T, bytes("k"), bytes("v"), new Header[] {
                header("a", bytes("1")), header("a", bytes("2")), header("a", null), header("", bytes("")),
                header("größe", bytes("3")), header("x".repeat(200), bytes("y".repeat(300)))});
            b.append(T, NULL, NULL, new Header[] {header("only", null)});
            Header[] many = new Header[100];
            for (int i = 0; i < many.length; i++)
                many[i] = header("h" + i, i % 3 == 0 ? null : bytes("" + i));
            b.append(T + 1, bytes("many"), bytes(""), many);
        }));
        put("null-and-empty", build(Compression.NONE, b -> {
            b.append(T, NULL, NULL);
            b.append(T, bytes(""), null);
            b.append(T, null, bytes(""));
            b.append(T, bytes(""), bytes(""));
        }));
        put("timestamps-going-back", build(Compression.NONE, b -> {
            b.append(T, null, bytes("first"));
            b.append(T - 1, null, bytes("1 ms before"));
            b.append(T - 64, null, bytes("64 ms before"));
            b.append(T - 65, null, bytes("65 ms before"));
            b.append(0, null, bytes("1970"));
            b.append(T + 86_400_000L * 365, null, bytes("a year later"));
            b.append(RecordBatch.NO_TIMESTAMP, null, bytes("none"));
        }));
        put("timestamps-none", build(Compression.NONE, b -> {
            b.append(RecordBatch.NO_TIMESTAMP, null, bytes("none"));
            b.append(RecordBatch.NO_TIMESTAMP, null, bytes("none"));
        }));
        put("timestamps-far-apart", build(Compression.NONE, b -> {
            b.append(0, NULL, NULL);
            b.append(Long.MAX_VALUE, NULL, NULL);
            b.append(1L << 40, NULL, NULL);
        }));
        put("varints", build(Compression.NONE, b -> {
            for (int size : new int[] {0, 1, 62, 63, 64, 65, 127, 128, 8_191, 8_192})
                b.append(T + size, new byte[size], new byte[size / 2]);
        }));

        put("log-append-time", builder(Compression.NONE, TimestampType.LOG_APPEND_TIME, 50, T + 5_000, -1, (short) -1, -1,
                false, false, 3, b -> simple(b)));
        put("log-append-time-lz4", builder(Compression.lz4().build(), TimestampType.LOG_APPEND_TIME, 50, T + 5_000, -1,
                (short) -1, -1, false, false, 3, b -> simple(b)));
        put("idempotent", builder(Compression.NONE, TimestampType.CREATE_TIME, 1_000, -1, 4_000, (short) 7, 12, false,
                false, 9, b -> simple(b)));
        put("idempotent-sequence-wraps", builder(Compression.NONE, TimestampType.CREATE_TIME, 1_000, -1, Long.MAX_VALUE,
                Short.MAX_VALUE, Integer.MAX_VALUE - 1, false, false, 9, b -> simple(b)));
        put("transactional", builder(Compression.zstd().build(), TimestampType.CREATE_TIME, 1L << 40, -1, 4_000,
                (short) 0, 0, true, false, 2, b -> simple(b)));
        put("transactional-uncompressed", builder(Compression.NONE, TimestampType.CREATE_TIME, 1L << 40, -1, 4_000,
                (short) 0, 0, true, false, 2, b -> simple(b)));
        put("sparse-offsets", build(Compression.NONE, b -> {
            for (long offset : new long[] {0, 1, 5, 63, 64, 70_000, Integer.MAX_VALUE})
                b.appendWithOffset(offset, T + offset, bytes("k" + offset), bytes("v"));
        }));
        put("base-offset-before-first-record", builder(Compression.NONE, TimestampType.CREATE_TIME, 100, -1, -1, (short) -1,
                -1, false, false, 1, b -> {
                    b.appendWithOffset(107, T, bytes("k"), bytes("v"));
                    b.overrideLastOffset(120);
                }));
        put("three-batches", concat(build(Compression.NONE, b -> simple(b)), build(Compression.gzip().build(), b -> simple(b)),
                MemoryRecords.withEndTransactionMarker(6, T, 4, 4_000, (short) 1,
                        new EndTransactionMarker(ControlRecordType.ABORT, 17)).buffer()));

        put("control-commit", MemoryRecords.withEndTransactionMarker(77, T, 4, 4_000, (short) 1,
                new EndTransactionMarker(ControlRecordType.COMMIT, 17)).buffer());
        put("control-abort", MemoryRecords.withEndTransactionMarker(78, T, 4, 4_000, (short) 1,
                new EndTransactionMarker(ControlRecordType.ABORT, Integer.MAX_VALUE)).buffer());
        LeaderChangeMessage leader = new LeaderChangeMessage().setLeaderId(2)
                .setVoters(List.of(voter(1), voter(2), voter(3))).setGrantingVoters(List.of(voter(2), voter(3)));
        put("control-leader-change", MemoryRecords.withLeaderChangeMessage(10, T, 6, ByteBuffer.allocate(512), leader).buffer());
        put("control-snapshot-header", MemoryRecords.withSnapshotHeaderRecord(0, T, 6, ByteBuffer.allocate(512),
                new SnapshotHeaderRecord().setLastContainedLogTimestamp(T - 1)).buffer());
        put("control-snapshot-footer", MemoryRecords.withSnapshotFooterRecord(900, T, 6, ByteBuffer.allocate(512),
                new SnapshotFooterRecord()).buffer());
        put("control-kraft-version", MemoryRecords.withKRaftVersionRecord(1, T, 6, ByteBuffer.allocate(512),
                new KRaftVersionRecord().setKRaftVersion((short) 1)).buffer());
        VotersRecord voters = new VotersRecord().setVoters(List.of(new VotersRecord.Voter().setVoterId(1)
                .setVoterDirectoryId(new Uuid(1, 2))
                .setEndpoints(new VotersRecord.EndpointCollection(List.of(new VotersRecord.Endpoint()
                        .setName("CONTROLLER").setHost("host").setPort(9093)).iterator()))
                .setKRaftVersionFeature(new VotersRecord.KRaftVersionFeature().setMinSupportedVersion((short) 0)
                        .setMaxSupportedVersion((short) 1))));
        put("control-voters", MemoryRecords.withVotersRecord(2, T, 6, ByteBuffer.allocate(512), voters).buffer());
        put("control-several", builder(Compression.NONE, TimestampType.CREATE_TIME, 0, T, -1, (short) -1, -1, false, true, 6,
                b -> {
                    b.appendSnapshotHeaderMessage(T, new SnapshotHeaderRecord().setLastContainedLogTimestamp(T - 1));
                    b.appendKRaftVersionMessage(T, new KRaftVersionRecord().setKRaftVersion((short) 1));
                    b.appendVotersMessage(T, voters);
                }));

        // What the log cleaner makes of batches. The first pass sets the delete horizon.
        ByteBuffer dirty = builder(Compression.NONE, TimestampType.CREATE_TIME, 200, -1, 4_000, (short) 3, 40, false, false, 8,
                b -> {
                    for (int i = 0; i < 10; i++)
                        b.append(T + i, bytes("key " + i), i % 4 == 1 ? null : bytes("value " + i));
                });
        put("compacted-with-delete-horizon", clean(dirty, 3, RecordFilterKind.EVERY));
        put("compacted-gzip", clean(builder(Compression.gzip().build(), TimestampType.CREATE_TIME, 200, -1, 4_000, (short) 3,
                40, false, false, 8, b -> simple(b)), 2, RecordFilterKind.EVERY));
        put("compacted-log-append-time", clean(builder(Compression.NONE, TimestampType.LOG_APPEND_TIME, 200, T + 9, -1,
                (short) -1, -1, false, false, 8, b -> simple(b)), 2, RecordFilterKind.EVERY));
        put("compacted-empty", clean(dirty, 0, RecordFilterKind.NONE));
        put("compacted-marker", clean(MemoryRecords.withEndTransactionMarker(77, T, 4, 4_000, (short) 1,
                new EndTransactionMarker(ControlRecordType.COMMIT, 17)).buffer(), 1, RecordFilterKind.EVERY));
    }

    static void simple(MemoryRecordsBuilder b) {
        b.append(T, bytes("key"), bytes("value"));
        b.append(T + 20, bytes("key 2"), bytes("value 2"), new Header[] {header("header", bytes("value"))});
        b.append(T + 10, null, bytes("value 3"));
    }

    /** About 200 KB, so that every codec writes several blocks, one of them not compressible. */
    static void large(MemoryRecordsBuilder b) {
        byte[] random = new byte[3_000];
        new Random(1).nextBytes(random);
        b.append(T, bytes("random"), random);
        for (int i = 0; i < 20; i++)
            b.append(T + i, bytes("key " + i), bytes(("value " + i + ' ').repeat(1_100)));
    }

    static ByteBuffer build(Compression codec, Consumer<MemoryRecordsBuilder> records) {
        return builder(codec, TimestampType.CREATE_TIME, 0, -1, -1, (short) -1, -1, false, false, -1, records);
    }

    static ByteBuffer builder(Compression codec, TimestampType type, long baseOffset, long logAppendTime, long producerId,
            short epoch, int sequence, boolean transactional, boolean control, int leaderEpoch,
            Consumer<MemoryRecordsBuilder> records) {
        MemoryRecordsBuilder b = new MemoryRecordsBuilder(new ByteBufferOutputStream(1 << 20), RecordBatch.CURRENT_MAGIC_VALUE,
                codec, type, baseOffset, logAppendTime, producerId, epoch, sequence, transactional, control, leaderEpoch,
                1 << 20);
        records.accept(b);
        return b.build().buffer();
    }

    enum RecordFilterKind { EVERY, NONE }

    /** Retains every n-th record, from the first, or none but the batch. */
    static ByteBuffer clean(ByteBuffer dirty, int n, RecordFilterKind kind) {
        MemoryRecords.RecordFilter filter = new MemoryRecords.RecordFilter(T + 100_000, 86_400_000L) {
            @Override
            protected BatchRetentionResult checkBatchRetention(RecordBatch batch) {
                return new BatchRetentionResult(BatchRetention.RETAIN_EMPTY, false);
            }

            @Override
            protected boolean shouldRetainRecord(RecordBatch batch, Record record) {
                return kind == RecordFilterKind.EVERY && (record.offset() - batch.baseOffset()) % n == n - 1;
            }
        };
        MemoryRecords records = MemoryRecords.readableRecords(dirty.duplicate());
        ByteBuffer out = records.filterTo(filter, ByteBuffer.allocate(1 << 20), BufferSupplier.NO_CACHING, Integer.MAX_VALUE)
                .outputBuffer();
        out.flip();
        return out;
    }

    static LeaderChangeMessage.Voter voter(int id) {
        return new LeaderChangeMessage.Voter().setVoterId(id);
    }

    static ByteBuffer concat(ByteBuffer... parts) {
        ByteBuffer all = ByteBuffer.allocate(Stream.of(parts).mapToInt(ByteBuffer::remaining).sum());
        Stream.of(parts).forEach(part -> all.put(part.duplicate()));
        return all.flip();
    }

    static Header header(String key, byte[] value) {
        return new RecordHeader(key, value);
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static void put(String name, ByteBuffer batches) throws Exception {
        byte[] bytes = new byte[batches.remaining()];
        batches.duplicate().get(bytes);
        Files.write(directory.resolve(name + ".bin"), bytes);
        Files.writeString(directory.resolve(name + ".txt"), describe(ByteBuffer.wrap(bytes)));
    }

    static String describe(ByteBuffer bytes) {
        StringBuilder out = new StringBuilder();
        for (MutableRecordBatch any : MemoryRecords.readableRecords(bytes).batches()) {
            DefaultRecordBatch b = (DefaultRecordBatch) any;
            b.ensureValid();
            out.append("batch offsets=").append(b.baseOffset()).append("..").append(b.lastOffset())
                .append(" size=").append(b.sizeInBytes())
                .append(" epoch=").append(b.partitionLeaderEpoch())
                .append(" crc=").append(b.checksum())
                .append(" codec=").append(b.compressionType().name)
                .append(" time=").append(b.timestampType())
                .append(b.isTransactional() ? " transactional" : "")
                .append(b.isControlBatch() ? " control" : "")
                .append(" horizon=").append(b.deleteHorizonMs().isPresent() ? b.deleteHorizonMs().getAsLong() : "null")
                .append(" timestamps=").append(b.baseTimestamp()).append("..").append(b.maxTimestamp())
                .append(" producer=").append(b.producerId()).append(':').append(b.producerEpoch())
                .append(" sequences=").append(b.baseSequence()).append("..").append(b.lastSequence())
                .append(" count=").append(b.countOrNull()).append('\n');
            for (Record r : b) {
                out.append("record offset=").append(r.offset())
                    .append(" timestamp=").append(r.timestamp())
                    .append(" sequence=").append(r.sequence())
                    .append(" size=").append(r.sizeInBytes())
                    .append(" key=").append(text(r.hasKey() ? r.key() : null))
                    .append(" value=").append(text(r.hasValue() ? r.value() : null));
                for (Header h : r.headers())
                    out.append(" header=").append(text(ByteBuffer.wrap(bytes(h.key())))).append(':')
                        .append(text(h.value() == null ? null : ByteBuffer.wrap(h.value())));
                out.append('\n');
            }
        }
        return out.toString();
    }

    /** Short things in hexadecimal digits, long ones as length and CRC-32C. */
    static String text(ByteBuffer buffer) {
        if (buffer == null)
            return "null";
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        if (bytes.length <= 40)
            return "\"" + HEX.formatHex(bytes) + "\"";
        java.util.zip.CRC32C crc = new java.util.zip.CRC32C();
        crc.update(bytes);
        return bytes.length + "#" + Long.toHexString(crc.getValue());
    }
}
