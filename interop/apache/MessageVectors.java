// Writes every message, record and header of Apache Kafka, in every version, with Apache Kafka's own classes.
//
//   java -cp 'target/apache-kafka/broker/*' interop/apache/MessageVectors.java OUT
//
// `cargo xtask vectors` runs it. The definitions inside the jars say which fields a version has and which of them
// may be null; the generated classes beside them are filled by reflection and write themselves. The same jars give
// the same file: the random generator is seeded by the name, the version and the number of the instance.
//
// File, big-endian: for each message and version u8 length and bytes of the name, i16 version, u8 count, and per
// instance u32 length and the bytes. The first instance has nothing but defaults, the next two have every field set
// and no array empty, the others are left to chance.

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.File;
import java.io.InputStream;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;

public class MessageVectors {
    /** Instances per message and version: one of defaults, then those with everything set, then random ones. */
    private static final int INSTANCES = 6;
    private static final int LAST_FULL = 2;

    private record Versions(int low, int high) {
        static final Versions NONE = new Versions(0, -1);

        static Versions parse(JsonNode node, Versions otherwise) {
            if (node == null) return otherwise;
            String text = node.asText().trim();
            if (text.equals("none")) return NONE;
            if (text.endsWith("+")) return new Versions(Integer.parseInt(text.substring(0, text.length() - 1)), Short.MAX_VALUE);
            int dash = text.indexOf('-');
            if (dash < 0) return new Versions(Integer.parseInt(text), Integer.parseInt(text));
            return new Versions(Integer.parseInt(text.substring(0, dash)), Integer.parseInt(text.substring(dash + 1)));
        }

        boolean has(int version) {
            return low <= version && version <= high;
        }
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, JsonNode> schemas = new TreeMap<>();
        Map<String, String> classes = new HashMap<>();
        scan(schemas, classes);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        DataOutputStream out = new DataOutputStream(bytes);
        int messages = 0;
        int pairs = 0;
        int instances = 0;
        for (Map.Entry<String, JsonNode> entry : schemas.entrySet()) {
            String name = entry.getKey();
            JsonNode schema = entry.getValue();
            Versions versions = Versions.parse(schema.get("validVersions"), Versions.NONE);
            if (versions.high < versions.low) continue;
            messages++;
            String kind = schema.get("type").asText();
            boolean suffixed = kind.equals("request") || kind.equals("response") || kind.equals("header");
            Class<?> root = Class.forName(classes.get(suffixed ? name + "Data" : name));
            for (int version = versions.low; version <= versions.high; version++) {
                pairs++;
                byte[] label = name.getBytes(StandardCharsets.UTF_8);
                out.writeByte(label.length);
                out.write(label);
                out.writeShort(version);
                out.writeByte(INSTANCES);
                for (int number = 0; number < INSTANCES; number++) {
                    Message message = (Message) root.getConstructor().newInstance();
                    if (number > 0) {
                        Filler filler = new Filler(root, schema, version, number);
                        filler.fill(message, schema.get("fields"), 0);
                    }
                    byte[] written = write(message, version);
                    check(root, message, written, version);
                    out.writeInt(written.length);
                    out.write(written);
                    instances++;
                }
            }
        }
        Files.write(Path.of(arguments[0]), bytes.toByteArray());
        System.out.println(messages + " messages, " + pairs + " versions of them, " + instances + " instances, " + bytes.size() + " bytes");
    }

    private static byte[] write(Message message, int version) {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBuffer buffer = ByteBuffer.allocate(message.size(cache, (short) version));
        message.write(new ByteBufferAccessor(buffer), cache, (short) version);
        if (buffer.hasRemaining()) throw new IllegalStateException("size and write of " + message + " differ");
        return buffer.array();
    }

    /** What Apache Kafka wrote, Apache Kafka reads, and writes again as it was. */
    private static void check(Class<?> root, Message message, byte[] written, int version) throws Exception {
        Message again = (Message) root.getConstructor().newInstance();
        ByteBuffer buffer = ByteBuffer.wrap(written);
        again.read(new ByteBufferAccessor(buffer), (short) version);
        if (buffer.hasRemaining() || !Arrays.equals(write(again, version), written))
            throw new IllegalStateException(root.getSimpleName() + " version " + version + " does not come back: " + message);
    }

    private static void scan(Map<String, JsonNode> schemas, Map<String, String> classes) throws Exception {
        ObjectMapper mapper = new ObjectMapper();
        mapper.configure(JsonParser.Feature.ALLOW_COMMENTS, true);
        for (String path : System.getProperty("java.class.path").split(File.pathSeparator)) {
            if (!new File(path).getName().startsWith("kafka")) continue;
            try (JarFile jar = new JarFile(path)) {
                for (JarEntry entry : (Iterable<JarEntry>) jar.stream()::iterator) {
                    String name = entry.getName();
                    if (name.endsWith(".class") && !name.contains("$")) {
                        String simple = name.substring(name.lastIndexOf('/') + 1, name.length() - 6);
                        if (name.contains("/message/") || name.contains("/metadata/") || name.contains("/generated/"))
                            classes.put(simple, name.substring(0, name.length() - 6).replace('/', '.'));
                    } else if (name.endsWith(".json") && (name.contains("message/") || name.contains("metadata/"))) {
                        try (InputStream in = jar.getInputStream(entry)) {
                            JsonNode schema = mapper.readTree(in);
                            if (schemas.put(schema.get("name").asText(), schema) != null)
                                throw new IllegalStateException(name + " is there twice");
                        }
                    }
                }
            }
        }
    }

    /** Fills one instance with the fields that its version has. */
    private static final class Filler {
        private final Class<?> root;
        private final int version;
        private final boolean full;
        private final Random random;
        private final Map<String, JsonNode> structs = new HashMap<>();

        Filler(Class<?> root, JsonNode schema, int version, int number) {
            this.root = root;
            this.version = version;
            this.full = number <= LAST_FULL;
            // Neighbouring seeds give neighbouring first numbers: spread them.
            this.random = new Random((31L * (31L * root.getSimpleName().hashCode() + version) + number) * 0x9E37_79B9_7F4A_7C15L);
            if (schema.get("commonStructs") != null)
                for (JsonNode struct : schema.get("commonStructs")) structs.put(struct.get("name").asText(), struct.get("fields"));
        }

        void fill(Object struct, JsonNode fields, int depth) throws Exception {
            if (fields == null) return;
            for (JsonNode field : fields) {
                Versions tagged = Versions.parse(field.get("taggedVersions"), Versions.NONE);
                Versions versions = Versions.parse(field.get("versions"), tagged);
                if (!versions.has(version)) continue;
                if (!full && tagged.has(version) && random.nextBoolean()) continue;
                boolean nullable = Versions.parse(field.get("nullableVersions"), Versions.NONE).has(version);
                Method setter = setter(struct.getClass(), field.get("name").asText());
                Object value = null;
                if (!nullable || full || random.nextInt(4) != 0) value = value(field, setter.getParameterTypes()[0], depth);
                setter.invoke(struct, value);
            }
        }

        private static Method setter(Class<?> of, String field) {
            String name = "set" + Character.toUpperCase(field.charAt(0)) + field.substring(1);
            for (Method method : of.getMethods())
                if (method.getName().equals(name) && method.getParameterCount() == 1) return method;
            throw new IllegalStateException(of + " has no " + name);
        }

        @SuppressWarnings({"unchecked", "rawtypes"})
        private Object value(JsonNode field, Class<?> java, int depth) throws Exception {
            String type = field.get("type").asText();
            if (!type.startsWith("[]")) return single(type, field, java, depth);
            String element = type.substring(2);
            int most = depth == 0 ? 3 : depth == 1 ? 2 : 1;
            int count = full ? 1 + random.nextInt(most) : random.nextInt(most + 1);
            // The collections of map-keyed arrays are classes of their own; the others are lists.
            Collection values = java == List.class ? new ArrayList() : (Collection) java.getConstructor().newInstance();
            for (int i = 0; i < count; i++) values.add(single(element, field, boxed(element), depth + 1));
            return values;
        }

        private static Class<?> boxed(String type) {
            return type.equals("bytes") ? byte[].class : Object.class;
        }

        private Object single(String type, JsonNode field, Class<?> java, int depth) throws Exception {
            switch (type) {
                case "bool": return random.nextBoolean();
                case "int8": return (byte) number(8);
                case "int16": return (short) number(16);
                case "uint16": return (int) (number(16) & 0xffff);
                case "int32": return (int) number(32);
                case "uint32": return number(32) & 0xffff_ffffL;
                case "int64": return number(64);
                case "float64": return random.nextInt(4) == 0 ? -0.0 : random.nextGaussian() * 1e9;
                case "uuid": return random.nextInt(5) == 0 ? Uuid.ZERO_UUID : new Uuid(random.nextLong(), random.nextLong());
                case "string": return string();
                case "bytes":
                    byte[] bytes = new byte[length()];
                    random.nextBytes(bytes);
                    return java == ByteBuffer.class ? ByteBuffer.wrap(bytes) : bytes;
                case "records": return records();
                default:
                    Object struct = nested(type).getConstructor().newInstance();
                    JsonNode fields = field.get("fields");
                    fill(struct, fields != null ? fields : structs.get(type), depth + 1);
                    return struct;
            }
        }

        private Class<?> nested(String name) throws ClassNotFoundException {
            return Class.forName(root.getName() + "$" + name, true, root.getClassLoader());
        }

        private long number(int bits) {
            long lowest = bits == 64 ? Long.MIN_VALUE : -(1L << (bits - 1));
            switch (random.nextInt(6)) {
                case 0: return lowest;
                case 1: return -1L - lowest;
                case 2: return random.nextInt(5) - 2;
                default: return random.nextLong() >> (64 - bits);
            }
        }

        /** Mostly short, at times past the one byte of a compact length. */
        private int length() {
            int pick = random.nextInt(24);
            return pick == 0 ? 127 : pick == 1 ? 126 : pick == 2 ? 130 + random.nextInt(40) : random.nextInt(9);
        }

        private String string() {
            StringBuilder text = new StringBuilder();
            int length = length();
            for (int i = 0; i < length; i++)
                text.appendCodePoint(random.nextInt(12) == 0 ? "é漢😀".codePointAt(new int[] {0, 1, 2}[random.nextInt(3)]) : 'a' + random.nextInt(26));
            return text.toString();
        }

        private MemoryRecords records() {
            int count = 1 + random.nextInt(2);
            SimpleRecord[] records = new SimpleRecord[count];
            for (int i = 0; i < count; i++)
                records[i] = new SimpleRecord(1_700_000_000_000L + random.nextInt(1000), string().getBytes(StandardCharsets.UTF_8), string().getBytes(StandardCharsets.UTF_8));
            return MemoryRecords.withRecords(Compression.NONE, records);
        }
    }
}
