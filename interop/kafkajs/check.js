// What users of KafkaJS do with groups: node check.js BOOTSTRAP COUNT. Prints PASS or FAIL for each thing.

const assert = require("node:assert");
const { Kafka, logLevel } = require("kafkajs");

const [bootstrap, words] = process.argv.slice(2);
const count = Number(words);
const PATIENCE_MS = 30_000;
const PARTITIONS = 4;

const kafka = new Kafka({ clientId: "check", brokers: [bootstrap], logLevel: logLevel.NOTHING });
const admin = kafka.admin();
const producer = kafka.producer();
let names = 0;
let open = [];

async function until(condition, otherwise) {
  for (const end = Date.now() + PATIENCE_MS; !(await condition()); ) {
    if (Date.now() > end) throw new Error(otherwise());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function topic(prefix, partitions, records) {
  const name = `${prefix}-${names++}`;
  await admin.createTopics({ topics: [{ topic: name, numPartitions: partitions }], waitForLeaders: true });
  await produce(name, partitions, 0, records);
  return name;
}

async function produce(name, partitions, first, records) {
  const messages = [];
  for (let number = first; number < first + records; number++) messages.push({ key: `key-${number}`, value: String(number), partition: number % partitions });
  if (messages.length > 0) await producer.send({ topic: name, messages });
}

const group = () => `group-${names++}`;

/** A consumer that gathers what it reads, and what it was assigned. */
async function member(groupId, topics, settings = {}, run = {}) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 6000, heartbeatInterval: 300, rebalanceTimeout: 10000, maxWaitTimeInMs: 50, ...settings });
  const seen = [];
  const state = { consumer, seen, assigned: {}, joins: 0 };
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    state.assigned = payload.memberAssignment;
    state.joins++;
    state.memberId = payload.memberId;
  });
  open.push(consumer);
  await consumer.connect();
  await consumer.subscribe({ topics, fromBeginning: true });
  await consumer.run({ eachMessage: async ({ topic, partition, message }) => void seen.push({ topic, partition, offset: Number(message.offset), value: Number(message.value) }), ...run });
  return state;
}

async function close(state) {
  open = open.filter((consumer) => consumer !== state.consumer);
  await state.consumer.disconnect();
}

const read = (state, records) => until(() => state.seen.length >= records, () => `${state.seen.length} of ${records} records`);

const values = (state) => state.seen.map(({ value }) => value).sort((a, b) => a - b);

const numbers = (first, records) => Array.from({ length: records }, (_, number) => first + number);

const owns = (states, name, partitions) =>
  until(() => {
    const owned = states.flatMap((state) => state.assigned[name] || []).sort((a, b) => a - b);
    return JSON.stringify(owned) === JSON.stringify(numbers(0, partitions)) && states.every((state) => (state.assigned[name] || []).length >= Math.floor(partitions / states.length));
  }, () => JSON.stringify(states.map((state) => state.assigned)));

const checks = {
  "a group goes on from its commits": async () => {
    const [name, id] = [await topic("turns", PARTITIONS, count), group()];
    const first = await member(id, [name]);
    await read(first, count);
    await close(first);
    await produce(name, PARTITIONS, count, 100);
    const second = await member(id, [name]);
    await read(second, 100);
    assert.deepStrictEqual(values(first), numbers(0, count));
    assert.deepStrictEqual(values(second), numbers(count, 100));
    return `${count} records, then 100`;
  },
  "three members share, one leaves, one comes back": async () => {
    const [name, id] = [await topic("shared", 6, 0), group()];
    const members = [];
    for (let joined = 1; joined <= 3; joined++) {
      members.push(await member(id, [name]));
      await owns(members, name, 6);
    }
    await close(members.shift());
    await owns(members, name, 6);
    members.push(await member(id, [name]));
    await owns(members, name, 6);
    await produce(name, 6, 0, 60);
    await until(() => members.reduce((sum, state) => sum + state.seen.length, 0) >= 60, () => "not all records");
    const seen = members.flatMap(values).sort((a, b) => a - b);
    assert.deepStrictEqual(seen, numbers(0, 60));
    return "6 partitions";
  },
  "commits by hand, with metadata": async () => {
    const [name, id] = [await topic("commits", 1, 20), group()];
    const first = await member(id, [name], {}, { autoCommit: false });
    await read(first, 20);
    await first.consumer.commitOffsets([{ topic: name, partition: 0, offset: "7", metadata: "a note, ümlaut" }]);
    await close(first);
    const [{ partitions }] = await admin.fetchOffsets({ groupId: id, topics: [name] });
    assert.deepStrictEqual(partitions, [{ partition: 0, offset: "7", metadata: "a note, ümlaut" }]);
    const second = await member(id, [name]);
    await read(second, 13);
    assert.strictEqual(second.seen[0].offset, 7);
    return "";
  },
  "seek, pause and resume": async () => {
    const [name, id] = [await topic("seek", 2, 40), group()];
    const one = await member(id, [name]);
    await read(one, 40);
    one.seen.length = 0;
    one.consumer.seek({ topic: name, partition: 0, offset: "5" });
    await read(one, 15);
    assert.deepStrictEqual(one.seen.map(({ offset }) => offset), numbers(5, 15));
    one.seen.length = 0;
    one.consumer.pause([{ topic: name, partitions: [1] }]);
    await produce(name, 2, 40, 20);
    await read(one, 10);
    assert(one.seen.every(({ partition }) => partition === 0), "a paused partition was read");
    one.consumer.resume([{ topic: name, partitions: [1] }]);
    await read(one, 20);
    return "";
  },
  "a subscription by a regular expression": async () => {
    const prefix = `regex${names++}`;
    const [one, two] = [await topic(`${prefix}-a`, 1, 5), await topic(`${prefix}-b`, 1, 5)];
    await topic(`not-${prefix}`, 1, 5);
    const state = await member(group(), [new RegExp(`^${prefix}-.*`)]);
    await read(state, 10);
    assert.deepStrictEqual(Object.keys(state.assigned).sort(), [one, two]);
    return "";
  },
  "two topics at once": async () => {
    const [one, two, id] = [await topic("one", 2, 10), await topic("two", 2, 10), group()];
    const both = await member(id, [one, two]);
    await read(both, 20);
    return "";
  },
  "a member that stops its heartbeats is replaced": async () => {
    const [name, id] = [await topic("silent", 2, 2), group()];
    const silent = await member(id, [name], {}, { eachMessage: () => new Promise(() => {}) });
    await owns([silent], name, 2);
    const other = await member(id, [name]);
    await owns([other], name, 2);
    await read(other, 2);
    // It waits for its message for ever.
    open = open.filter((consumer) => consumer !== silent.consumer);
    return "";
  },
  "groups by the admin client": async () => {
    const [name, id] = [await topic("admin", PARTITIONS, 40), group()];
    const state = await member(id, [name]);
    await read(state, 40);
    await owns([state], name, PARTITIONS);
    const { groups: described } = await admin.describeGroups([id]);
    assert.strictEqual(described[0].state, "Stable");
    assert.deepStrictEqual(described[0].members.map(({ memberId, clientHost }) => [memberId, clientHost]), [[state.memberId, "/127.0.0.1"]]);
    const { groups: listed } = await admin.listGroups();
    assert(listed.some(({ groupId, protocolType }) => groupId === id && protocolType === "consumer"));
    await assert.rejects(admin.deleteGroups([id]), (error) => error.groups[0].error.type === "NON_EMPTY_GROUP");
    await close(state);
    await admin.setOffsets({ groupId: id, topic: name, partitions: [{ partition: 0, offset: "3" }] });
    const offsets = async () => (await admin.fetchOffsets({ groupId: id, topics: [name], resolveOffsets: true }))[0].partitions.find(({ partition }) => partition === 0).offset;
    assert.strictEqual(await offsets(), "3");
    await admin.resetOffsets({ groupId: id, topic: name, earliest: true });
    assert.strictEqual(await offsets(), "0");
    await admin.deleteGroups([id]);
    assert.strictEqual((await admin.describeGroups([id])).groups[0].state, "Dead");
    return "";
  },
};

async function main() {
  await Promise.all([admin.connect(), producer.connect()]);
  let failed = false;
  for (const [title, check] of Object.entries(checks)) {
    try {
      console.log(`PASS ${title}: ${await check()}`);
    } catch (error) {
      failed = true;
      console.log(`FAIL ${title}: ${String(error.stack || error).replaceAll("\n", " ").slice(0, 300)}`);
    }
    await Promise.all(open.map((consumer) => consumer.disconnect()));
    open = [];
  }
  await Promise.all([admin.disconnect(), producer.disconnect()]);
  process.exit(failed ? 1 : 0);
}

main();
