// A member of a group on KafkaJS: node member.js BOOTSTRAP GROUP TOPIC [KEY=VALUE...]
//
// It says on its standard output what becomes of it (README.md), and leaves the group when its standard input ends.
// KafkaJS knows the classic protocol alone, and has an assignor that no other client has; here it deals out the partitions as
// the others' "roundrobin" does.

const { Kafka, logLevel, PartitionAssigners } = require("kafkajs");

const [bootstrap, groupId, topic, ...words] = process.argv.slice(2);
const settings = Object.fromEntries(words.map((word) => word.split("=", 2)));

const say = (event) => process.stdout.write(`${Math.floor((performance.timeOrigin + performance.now()) * 1000)} ${event}\n`);

const roundrobin = (context) => ({ ...PartitionAssigners.roundRobin(context), name: "roundrobin" });

async function main() {
  const kafka = new Kafka({ clientId: "kafkajs", brokers: [bootstrap], logLevel: logLevel.NOTHING });
  const consumer = kafka.consumer({
    groupId,
    partitionAssigners: [roundrobin],
    sessionTimeout: Number(settings["session.timeout.ms"]),
    heartbeatInterval: Number(settings["heartbeat.interval.ms"]),
    rebalanceTimeout: Number(settings["max.poll.interval.ms"]),
    maxWaitTimeInMs: 100,
  });
  let owned = [];
  let leaving = false;
  const revoked = () => {
    if (owned.length > 0) say(`revoked -1 ${owned}`);
    owned = [];
  };
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    revoked();
    owned = payload.memberAssignment[topic] || [];
    say(`assigned -1 ${owned}`);
  });
  consumer.on(consumer.events.REBALANCING, revoked);
  consumer.on(consumer.events.CRASH, ({ payload }) => say(`error ${payload.error}`));

  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  process.stdin.resume();
  process.stdin.on("end", async () => {
    // From here on nothing is read, so the partitions are as good as given back: stop() leaves the group.
    leaving = true;
    revoked();
    await consumer.stop();
    await consumer.disconnect();
    say("left");
  });
  await consumer.run({
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, isStale }) => {
      if (leaving || isStale() || batch.messages.length === 0) return;
      const [first, last] = [batch.messages[0].offset, batch.messages[batch.messages.length - 1].offset];
      if (Number(last) - Number(first) + 1 !== batch.messages.length) say(`error records are missing between ${first} and ${last}`);
      say(`read ${batch.partition} ${first} ${last}`);
      resolveOffset(last);
    },
  });
}

main();
