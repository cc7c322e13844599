//! A broker, topics with records, and members of groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client::consumer::{Consumer, ConsumerConfig, ListenerFuture, Offsets, RebalanceListener};
use client::{
    Admin, ClientConfig, ClientError, ConsumerRecord, NewTopic, Producer, ProducerConfig, ProducerRecord,
};
use common::{TopicPartition, Uuid};
use config::{BrokerConfig, Environment, Properties};
use server::RunningServer;
use tempfile::TempDir;

/// Longer than anything here takes, on any machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(50);

/// The broker of a test: a new one in this process, or the one that `MILENA_TESTS_AGAINST` names.
pub struct Broker {
    pub address: String,
    running: Option<(RunningServer, TempDir)>,
}

/// Groups settle soon: what is waited for in production by the second is waited for here by the tenth of it.
pub const SETTINGS: [(&str, &str); 9] = [
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "3"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "1000"),
    ("group.consumer.min.heartbeat.interval.ms", "100"),
    ("group.consumer.heartbeat.interval.ms", "100"),
    ("group.consumer.min.session.timeout.ms", "1000"),
    ("group.consumer.session.timeout.ms", "6000"),
    ("group.consumer.regex.refresh.interval.ms", "10000"),
];

impl Broker {
    pub async fn start() -> Broker {
        // With RUST_LOG=client=info the members' ways are told.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        if let Ok(addresses) = std::env::var("MILENA_TESTS_AGAINST") {
            let address = addresses.split(',').next().unwrap_or_default().to_owned();
            return Broker { address, running: None };
        }
        let root = tempfile::tempdir().unwrap();
        let data = root.path().to_str().unwrap().to_owned();
        let node = raft::format::LoneNode {
            node_id: 1,
            directories: [data.clone()].into(),
            metadata_log_directory: data,
            endpoint: raft::Endpoint {
                name: "CONTROLLER".to_owned(),
                host: "127.0.0.1".to_owned(),
                port: 9093,
            },
            cluster_id: None,
        };
        node.format(1_700_000_000_000).unwrap();
        Broker::start_on(root, "127.0.0.1:0").await
    }

    async fn start_on(root: TempDir, address: &str) -> Broker {
        let mut properties = Properties::none();
        let listeners = format!("PLAINTEXT://{address},CONTROLLER://127.0.0.1:0");
        let own = [
            ("log.dirs", root.path().to_str().unwrap()),
            ("process.roles", "broker,controller"),
            ("node.id", "1"),
            ("controller.quorum.bootstrap.servers", "127.0.0.1:9093"),
            ("listeners", &listeners),
            ("controller.listener.names", "CONTROLLER"),
        ];
        for (key, value) in own.iter().chain(&SETTINGS) {
            properties.set(key, value);
        }
        let config = BrokerConfig::from_properties(&properties, Environment::default()).unwrap().0;
        let server = server::start(config).await.unwrap();
        let address = server.addresses().iter().find(|(listener, _)| listener == "PLAINTEXT").unwrap().1;
        Broker { address: address.to_string(), running: Some((server, root)) }
    }

    /// Stops it and starts it again where it was, while `meanwhile` goes on; none of another program.
    pub async fn restart(self, meanwhile: impl Future<Output = ()>) -> Option<Broker> {
        let (server, root) = self.running?;
        server.stop().await.unwrap();
        meanwhile.await;
        Some(Broker::start_on(root, &self.address).await)
    }

    /// Stops it, if it is this test's own.
    pub async fn stop(self) {
        if let Some((server, _root)) = self.running {
            server.stop().await.unwrap();
        }
    }

    /// A new topic.
    pub async fn topic(&self, partitions: i32) -> String {
        let name = unique("topic");
        self.create(&name, partitions).await;
        name
    }

    pub async fn create(&self, name: &str, partitions: i32) {
        let topic = NewTopic {
            name: name.to_owned(),
            partitions: Some(partitions),
            replication_factor: Some(1),
            ..NewTopic::default()
        };
        let admin = Admin::new(ClientConfig::new(self.address.as_str()));
        for result in admin.create_topics(&[topic], false).await.unwrap() {
            result.unwrap();
        }
    }

    /// Produces `count` records to each partition; their values are numbered from `from` on.
    pub async fn produce(&self, topic: &str, partitions: i32, from: usize, count: usize) {
        let producer = Producer::new(ProducerConfig::new(self.address.as_str()));
        let mut deliveries = Vec::new();
        for number in from..from + count {
            for partition in 0..partitions {
                let record = ProducerRecord {
                    topic: topic.into(),
                    partition: Some(partition),
                    value: Some(format!("{partition}-{number}").into_bytes().into()),
                    ..ProducerRecord::default()
                };
                deliveries.push(producer.send(record).await.unwrap());
            }
        }
        for delivery in deliveries {
            delivery.await.unwrap();
        }
    }

    /// The configuration of a member that begins with the first record.
    pub fn config(&self, group: &str, entries: &[(&str, &str)]) -> ConsumerConfig {
        let mut config = ConsumerConfig::new(self.address.as_str());
        let own = [("group.id", group), ("auto.offset.reset", "earliest"), ("metadata.max.age.ms", "500")];
        for (key, value) in own.iter().chain(entries) {
            assert!(config.set(key, value).unwrap(), "{key}");
        }
        config
    }

    pub fn consumer(&self, group: &str, entries: &[(&str, &str)]) -> Consumer {
        Consumer::new(self.config(group, entries)).unwrap()
    }
}

/// A name that no other test, and no other run, uses.
pub fn unique(name: &str) -> String {
    format!("{name}-{:08x}", Uuid::random().as_u128() as u32)
}

/// The settings of every kind of member that there is.
pub fn all_kinds() -> Vec<Vec<(&'static str, &'static str)>> {
    let classic = |assignors: &'static str| {
        vec![
            ("partition.assignment.strategy", assignors),
            ("heartbeat.interval.ms", "100"),
            ("session.timeout.ms", "6000"),
        ]
    };
    let mut kinds: Vec<_> =
        ["range", "roundrobin", "sticky", "cooperative-sticky", "range,cooperative-sticky"]
            .map(classic)
            .into();
    kinds.push(vec![("group.protocol", "consumer")]);
    kinds.push(vec![("group.protocol", "consumer"), ("group.remote.assignor", "range")]);
    kinds
}

/// One kind of member of each protocol.
pub fn both_protocols() -> [Vec<(&'static str, &'static str)>; 2] {
    let classic = vec![
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("heartbeat.interval.ms", "100"),
        ("session.timeout.ms", "6000"),
    ];
    [classic, vec![("group.protocol", "consumer")]]
}

/// What came or went, and which partitions.
pub type Event = (&'static str, Vec<i32>);

/// What a listener heard.
#[derive(Default, Clone)]
pub struct Heard(Arc<Mutex<Vec<Event>>>);

impl Heard {
    fn note<'a>(&'a self, what: &'static str, partitions: &'a [TopicPartition]) -> ListenerFuture<'a> {
        let mut partitions: Vec<i32> = partitions.iter().map(|partition| partition.partition).collect();
        partitions.sort();
        self.0.lock().unwrap().push((what, partitions));
        Box::pin(async { Ok(()) })
    }

    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl RebalanceListener for Heard {
    fn on_partitions_assigned<'a>(&'a self, _: &'a Consumer, of: &'a [TopicPartition]) -> ListenerFuture<'a> {
        self.note("assigned", of)
    }

    fn on_partitions_revoked<'a>(&'a self, _: &'a Consumer, of: &'a [TopicPartition]) -> ListenerFuture<'a> {
        self.note("revoked", of)
    }

    fn on_partitions_lost<'a>(&'a self, _: &'a Consumer, of: &'a [TopicPartition]) -> ListenerFuture<'a> {
        self.note("lost", of)
    }
}

/// Values that were read, with how often.
#[derive(Default)]
pub struct Seen(pub BTreeMap<String, usize>);

impl Seen {
    pub fn add(&mut self, records: &[ConsumerRecord]) {
        for record in records {
            let value = String::from_utf8(record.value.as_ref().unwrap().to_vec()).unwrap();
            *self.0.entry(value).or_default() += 1;
        }
    }

    pub fn assert_each_once(&self, count: usize, case: &impl std::fmt::Debug) {
        let twice: Vec<_> = self.0.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "{case:?}: read twice: {twice:?}");
        assert_eq!(self.0.len(), count);
    }
}

/// Polls all of them in turn until `done`; all that they read.
pub async fn poll_until(
    consumers: &mut [&mut Consumer],
    seen: &mut Seen,
    mut done: impl FnMut(&[&mut Consumer], &Seen) -> bool,
) {
    let deadline = Instant::now() + PATIENCE;
    while !done(consumers, seen) {
        let assigned: Vec<_> = consumers.iter().map(|consumer| consumer.assignment()).collect();
        assert!(Instant::now() < deadline, "not in time; seen {}, assigned {assigned:?}", seen.0.len());
        for consumer in consumers.iter_mut() {
            match consumer.poll(TICK).await {
                Ok(records) => seen.add(&records),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Commits where the first one is, which it can when it takes part in no rebalance any more: a member keeps what it has while partitions
/// change hands around it, and hears of the end of that after the others may have.
pub async fn commit_of_first(consumers: &mut [&mut Consumer], seen: &mut Seen) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut offsets = Offsets::new();
        for partition in consumers[0].assignment() {
            let position = consumers[0].await_position(&partition, PATIENCE).await.unwrap();
            offsets.insert(partition, position.into());
        }
        match consumers[0].commit_sync_offsets(offsets).await {
            Err(ClientError::RebalanceInProgress) if Instant::now() < deadline => {}
            result => return result.unwrap(),
        }
        for consumer in consumers.iter_mut() {
            seen.add(&consumer.poll(TICK).await.unwrap());
        }
    }
}

/// The partitions that a consumer has, of one topic.
pub fn partitions_of(consumer: &Consumer) -> BTreeSet<i32> {
    consumer.assignment().iter().map(|partition| partition.partition).collect()
}

/// Whether everybody has as many partitions as that, and all of them are others.
pub fn share(consumers: &[&mut Consumer], counts: &[usize]) -> bool {
    let of_each: Vec<_> = consumers.iter().map(|consumer| consumer.assignment()).collect();
    let all: BTreeSet<_> = of_each.iter().flatten().collect();
    let mut sizes: Vec<usize> = of_each.iter().map(Vec::len).collect();
    sizes.sort();
    sizes == counts && all.len() == counts.iter().sum::<usize>()
}

/// Polls until there is an error.
pub async fn error_of(consumer: &mut Consumer) -> ClientError {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "no error in time");
        if let Err(error) = consumer.poll(TICK).await {
            return error;
        }
    }
}
