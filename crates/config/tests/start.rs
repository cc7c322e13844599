//! The ways to start a broker, and what each mistake in a file leads to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use config::{
    BrokerConfig, CompressionType, ConfigError, Environment, Properties, StartMode, TopicConfig, Warning,
};

fn environment() -> Environment {
    Environment { local_host_name: || "this-host".to_owned() }
}

fn start(file: &str) -> Result<(BrokerConfig, Vec<Warning>), ConfigError> {
    BrokerConfig::from_properties(&Properties::parse(file.as_bytes(), "server.properties")?, environment())
}

fn error(file: &str) -> String {
    start(file).unwrap_err().to_string()
}

fn texts(warnings: &[Warning]) -> Vec<String> {
    warnings.iter().map(|warning| warning.0.clone()).collect()
}

/// A file from the days of ZooKeeper, as notes of all kinds have it.
const OLD_FILE: &[&str] = &[
    "broker.id=0",
    "listeners=PLAINTEXT://:9092",
    "num.network.threads=3",
    "num.io.threads=8",
    "socket.send.buffer.bytes=102400",
    "socket.receive.buffer.bytes=102400",
    "socket.request.max.bytes=104857600",
    "log.dirs=/data/kafka-logs",
    "num.partitions=1",
    "num.recovery.threads.per.data.dir=1",
    "offsets.topic.replication.factor=1",
    "log.retention.hours=168",
    "log.segment.bytes=1073741824",
    "log.retention.check.interval.ms=300000",
    "zookeeper.connect=localhost:2181",
    "zookeeper.connection.timeout.ms=6000",
];

#[test]
fn a_file_of_zookeepers_days_is_a_single_node() {
    let (config, warnings) = start(&OLD_FILE.join("\n")).unwrap();
    assert_eq!(config.start_mode, StartMode::ZooKeeperDays);
    assert!(config.formats_itself());
    assert_eq!(
        (config.node_id, config.process_roles.broker, config.process_roles.controller),
        (0, true, true)
    );
    assert_eq!(config.voters.len(), 1);
    assert_eq!((config.voters[0].id, config.voters[0].endpoint.clone()), (0, None));
    assert!(config.controller_listener_names.is_empty());
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].to_string(), "PLAINTEXT://:9092");
    assert_eq!(config.advertised_listeners[0].to_string(), "PLAINTEXT://this-host:9092");
    assert_eq!(config.log_dirs, [PathBuf::from("/data/kafka-logs")]);
    assert_eq!(config.metadata_log_dir, PathBuf::from("/data/kafka-logs"));
    assert_eq!(config.network.socket_request_max_bytes, 104_857_600);
    assert_eq!(
        texts(&warnings),
        [
            "there is no process.roles, and zookeeper.connect=localhost:2181: the built-in quorum takes ZooKeeper's place. \
             This broker is a single node, its own controller (process.roles=broker,controller), and formats its \
             directories by itself",
            "these keys are set and have no effect yet: num.network.threads, num.io.threads (the threads follow from the \
             number of cores: whoever reads a request also answers it)",
        ]
    );
}

#[test]
fn any_part_of_such_a_file_starts_too() {
    for first in 0..OLD_FILE.len() {
        for last in first..=OLD_FILE.len() {
            let part = OLD_FILE[first..last].join("\n");
            let (config, warnings) = start(&part).unwrap_or_else(|error| panic!("{error}\n{part}"));
            assert_eq!(config.node_id, 0);
            assert_eq!(config.listeners[0].to_string(), "PLAINTEXT://:9092");
            assert_eq!(config.group_coordinator.offsets_topic_replication_factor, 1);
            assert_eq!(config.transaction.state_log_replication_factor, 1);
            assert_eq!(config.transaction.state_log_min_isr, 1);
            assert_eq!(config.share_coordinator.state_topic_replication_factor, 1);
            assert_eq!(config.share_coordinator.state_topic_min_isr, 1);
            assert!(warnings[0].0.contains("the built-in quorum takes ZooKeeper's place"));
        }
    }
}

#[test]
fn what_such_a_file_says_of_internal_topics_counts() {
    let (config, _) = start("broker.id=3\noffsets.topic.replication.factor=2\n").unwrap();
    assert_eq!(config.node_id, 3);
    assert_eq!(config.group_coordinator.offsets_topic_replication_factor, 2);
    // An id that ZooKeeper was to give.
    assert_eq!(start("broker.id=-1\n").unwrap().0.node_id, 0);
}

#[test]
fn no_file_is_a_single_node_in_the_current_directory() {
    let (config, warnings) = BrokerConfig::from_properties(&Properties::none(), environment()).unwrap();
    assert_eq!(config.start_mode, StartMode::NoFile);
    assert_eq!(texts(&warnings), [""; 0]);
    assert_eq!(config.listeners[0].to_string(), "PLAINTEXT://:9092");
    assert_eq!(config.advertised_listeners[0].to_string(), "PLAINTEXT://localhost:9092");
    assert_eq!(config.log_dirs, [PathBuf::from("data")]);
    assert_eq!(config.group_coordinator.offsets_topic_replication_factor, 1);

    let mut properties = Properties::none();
    properties.add_override("listeners=PLAINTEXT://127.0.0.1:19092").unwrap();
    properties.add_override("log.dirs=/elsewhere").unwrap();
    let (config, _) = BrokerConfig::from_properties(&properties, environment()).unwrap();
    assert_eq!(config.advertised_listeners[0].to_string(), "PLAINTEXT://127.0.0.1:19092");
    assert_eq!(config.log_dirs, [PathBuf::from("/elsewhere")]);
}

/// The file that Apache Kafka 4 ships, without its comments.
const KRAFT_FILE: &str = "\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

#[test]
fn apaches_own_file_starts_a_combined_node() {
    let (config, warnings) = start(KRAFT_FILE).unwrap();
    assert_eq!(config.start_mode, StartMode::KRaft);
    assert!(!config.formats_itself());
    assert_eq!(config.node_id, 1);
    assert!(config.voters.is_empty());
    assert_eq!(config.bootstrap_servers[0].to_string(), "localhost:9093");
    assert_eq!(config.broker_listeners().count(), 1);
    assert_eq!(config.controller_listeners().next().unwrap().to_string(), "CONTROLLER://:9093");
    assert_eq!(config.advertised_listeners.len(), 1);
    assert_eq!(config.advertised_controller_listeners[0].to_string(), "CONTROLLER://localhost:9093");
    assert_eq!(config.inter_broker_listener_name, "PLAINTEXT");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].0.starts_with("these keys are set and have no effect yet: "), "{warnings:?}");
}

#[test]
fn brokers_and_controllers_alone_start_too() {
    let (broker, _) = start(
        "process.roles=broker\nnode.id=4\ncontroller.quorum.voters=1@c1:9093,2@c2:9093\ncontroller.listener.names=CONTROLLER\n\
         listeners=PLAINTEXT://:9092\nmetadata.log.dir=/meta\nlog.dirs=/a,/b\nbroker.rack=r1\n",
    )
    .unwrap();
    assert!(broker.process_roles.broker && !broker.process_roles.controller);
    assert_eq!(broker.voters[1].endpoint.as_ref().unwrap().to_string(), "c2:9093");
    assert_eq!(broker.metadata_log_dir, PathBuf::from("/meta"));
    assert_eq!(broker.log_dirs.len(), 2);
    assert_eq!(broker.broker_rack.as_deref(), Some("r1"));
    assert!(broker.advertised_controller_listeners.is_empty());

    let (controller, _) = start(
        "process.roles=controller\nnode.id=1\ncontroller.quorum.voters=1@c1:9093\ncontroller.listener.names=CONTROLLER\n\
         listeners=CONTROLLER://:9093\n",
    )
    .unwrap();
    assert!(!controller.process_roles.broker && controller.process_roles.controller);
    assert!(controller.advertised_listeners.is_empty());
    assert_eq!(controller.advertised_controller_listeners[0].host, "this-host");
}

#[test]
fn a_shared_zookeeper_is_refused_with_the_lines_to_put_instead() {
    let message = error("broker.id=1\nzookeeper.connect=zk1:2181,zk2:2181,zk3:2181\n");
    let lines: Vec<&str> = message.lines().filter(|line| line.contains('=') && !line.contains(' ')).collect();
    // With the host names standing for this one, the printed lines themselves start.
    let (config, _) = start(&lines.join("\n")).unwrap();
    assert_eq!(config.start_mode, StartMode::KRaft);
    assert_eq!(config.voters.len(), 3);
    assert!(message.contains("controller.quorum.voters=1@zk1:9093,2@zk2:9093,3@zk3:9093"), "{message}");
    let message = error("zookeeper.connect=kafka-zk.example:2181\n");
    assert!(
        message.starts_with(
            "server.properties line 1: zookeeper.connect=kafka-zk.example:2181 names a ZooKeeper"
        )
    );
}

#[test]
fn a_kraft_file_that_forgot_its_roles_is_not_taken_for_a_lonely_node() {
    let message = error("node.id=1\ncontroller.quorum.voters=1@a:9093,2@b:9093\n");
    assert!(
        message.starts_with(
            "server.properties line 2: Missing required configuration \"process.roles\" which has no default value. \
             controller.quorum.voters is set"
        ),
        "{message}"
    );
}

#[test]
fn a_comment_behind_a_value_is_named_with_key_and_line() {
    assert_eq!(
        error("broker.id=0\n\nnum.partitions=3 # three\n"),
        "server.properties line 3: the value of num.partitions is `3 # three`: a comment must stand on a line of its own, \
         since everything behind the `=` is the value. Move `# three` to the line above, so that it reads `num.partitions=3`"
    );
    for line in [
        "num.io.threads=8# eight",
        "auto.create.topics.enable=false  # no",
        "log.dirs=/data/kafka # the big disk",
        "listeners=PLAINTEXT://:9092 # all interfaces",
        "compression.type=lz4 # fast",
        "zookeeper.connect=localhost:2181 # local",
    ] {
        let key = line.split('=').next().unwrap();
        let message = error(line);
        assert!(message.starts_with("server.properties line 1: "), "{message}");
        assert!(
            message.contains(key) && message.contains("a comment must stand on a line of its own"),
            "{message}"
        );
    }
    // Where a `#` may belong to the value it is only worth a warning, and in a secret not even that.
    let (config, warnings) =
        start("broker.rack=r1 # first\nsasl.jaas.config=user=\"a\" password=\"p #1\";\n").unwrap();
    assert_eq!(config.broker_rack.as_deref(), Some("r1 # first"));
    let about = |key: &str| warnings.iter().any(|w| w.0.contains(&format!("the value of {key} is")));
    assert!(about("broker.rack") && !about("sasl.jaas.config"), "{warnings:?}");
    assert!(!texts(&warnings).join("").contains("p #1"));
}

#[test]
fn an_invalid_value_is_named_with_what_is_valid() {
    assert_eq!(
        error("num.partitions=many\n"),
        "server.properties line 1: Invalid value many for configuration num.partitions: Not a number of type INT \
         (num.partitions takes an int, [1,...]; its default is 1)"
    );
    assert_eq!(
        error("broker.id=0\nlog.cleanup.policy=compat\n"),
        "server.properties line 2: Invalid value compat for configuration log.cleanup.policy: String must be one of: \
         compact, delete (log.cleanup.policy takes a list, [compact, delete]; its default is delete)"
    );
    let message = error("broker.id=zero\n");
    assert!(
        message.starts_with("server.properties line 1: Invalid value zero for configuration broker.id"),
        "{message}"
    );
    let message = error("\nbroker.id=-5\n");
    assert!(
        message.starts_with("server.properties line 2: Invalid value -5 for configuration node.id"),
        "{message}"
    );
    let message = error("listeners=PLAINTEXT://:9092,PLAINTEXT://:9093\n");
    assert!(
        message.contains("line 1") && message.contains("Each listener must have a different name"),
        "{message}"
    );
    let mut properties = Properties::none();
    properties.add_override("num.partitions=0").unwrap();
    let message = BrokerConfig::from_properties(&properties, environment()).unwrap_err().to_string();
    assert!(message.starts_with("--override: Invalid value 0 for configuration num.partitions"), "{message}");
}

#[test]
fn a_secret_is_not_shown_in_an_error_or_in_debug_output() {
    let (config, _) = start("ssl.keystore.password=hunter2\n").unwrap();
    assert_eq!(config.value("ssl.keystore.password").to_string(), "[hidden]");
    assert!(!format!("{:?}", config.value("ssl.keystore.password")).contains("hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn unknown_and_old_keys_are_told_and_do_not_stop_the_start() {
    let (_, warnings) = start(
        "num.partition=3\nmy.own.thing=1\ninter.broker.protocol.version=2.8\nlog.message.format.version=2.8\n\
         super.users=User:a\nleader.replication.throttled.rate=5\n",
    )
    .unwrap();
    let warnings = texts(&warnings);
    assert!(warnings.contains(
        &"server.properties line 1: no key is called num.partition; did you mean num.partitions?".to_owned()
    ));
    assert!(
        warnings.contains(
            &"server.properties line 2: no key is called my.own.thing; it has no effect".to_owned()
        )
    );
    assert!(warnings.contains(
        &"Kafka has these keys no more, and they have no effect: inter.broker.protocol.version, log.message.format.version"
            .to_owned()
    ));
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("leader.replication.throttled.rate can be set at runtime only"))
    );
    assert!(warnings.iter().any(|warning| warning.contains("super.users")));
}

#[test]
fn a_topics_settings_come_from_the_broker_and_its_own() {
    let (config, _) = start(
        "log.retention.hours=2\nlog.roll.hours=3\nlog.roll.jitter.hours=1\nlog.flush.scheduler.interval.ms=77\n\
         message.max.bytes=5000\ncompression.type=zstd\nlog.cleanup.policy=compact,delete\n",
    )
    .unwrap();
    let topic = config.topic_defaults.config();
    assert_eq!(topic.retention_ms, 7_200_000);
    assert_eq!(topic.segment_ms, 10_800_000);
    assert_eq!(topic.segment_jitter_ms, 3_600_000);
    assert_eq!(topic.flush_ms, 77);
    assert_eq!(topic.max_message_bytes, 5000);
    assert_eq!(topic.compression_type, CompressionType::Zstd);
    assert!(topic.compact && topic.delete);
    // Minutes win over hours, milliseconds over both, and any negative time is none.
    let retention = |file: &str| start(file).unwrap().0.topic_defaults.config().retention_ms;
    assert_eq!(retention("log.retention.hours=2\nlog.retention.minutes=5\n"), 300_000);
    assert_eq!(retention("log.retention.hours=2\nlog.retention.minutes=5\nlog.retention.ms=9\n"), 9);
    assert_eq!(retention("log.retention.minutes=-7\n"), -1);

    let overrides: BTreeMap<String, String> = [
        ("retention.ms", " 5 "),
        ("cleanup.policy", ""),
        ("leader.replication.throttled.replicas", "0:1,1:2"),
        ("of.a.newer.kafka", "x"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    let topic = TopicConfig::resolve(&config.topic_defaults, &overrides).unwrap();
    assert_eq!(topic.retention_ms, 5);
    assert!(!topic.compact && !topic.delete);
    assert_eq!(topic.leader_replication_throttled_replicas, ["0:1", "1:2"]);
    assert_eq!(topic.effective_local_retention_ms(), 5);
}

#[test]
fn a_topic_without_settings_has_kafkas_defaults() {
    let (config, _) = start("").unwrap();
    let topic = config.topic_defaults.config();
    assert_eq!(topic.retention_ms, 604_800_000);
    assert_eq!(topic.segment_bytes, 1_073_741_824);
    assert_eq!(topic.segment_ms, 604_800_000);
    assert_eq!(topic.flush_ms, i64::MAX);
    assert_eq!(topic.min_insync_replicas, 1);
    assert_eq!(topic.compression_type, CompressionType::Producer);
    assert!(topic.delete && !topic.compact);
}

#[test]
fn milenas_own_key_is_known_by_its_name_and_value() {
    let (config, warnings) = start("milena.metrics.listener=127.0.0.1:9404\n").unwrap();
    assert_eq!(config.metrics_listener.as_ref().map(ToString::to_string).as_deref(), Some("127.0.0.1:9404"));
    assert!(!texts(&warnings).iter().any(|warning| warning.contains("milena.metrics")), "{warnings:?}");
    assert_eq!(start("").unwrap().0.metrics_listener, None);
    for wrong in ["9404", ":9404", "localhost:x", "localhost:65536"] {
        let error = error(&format!("milena.metrics.listener={wrong}\n"));
        let valid =
            format!("Invalid value {wrong} for configuration milena.metrics.listener: it takes HOST:PORT");
        assert!(error.contains(&valid), "{error}");
    }
    let (_, warnings) = start("milena.metric.listener=127.0.0.1:9404\n").unwrap();
    assert!(
        texts(&warnings).iter().any(|warning| warning.contains("did you mean milena.metrics.listener?")),
        "{warnings:?}"
    );
}
