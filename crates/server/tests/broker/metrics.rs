//! Metrics over HTTP (`milena.metrics.listener`), and among them what clients push (KIP-714).

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use common::{ErrorCode, Uuid};
use protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use protocol::messages::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Broker, Client, Directory, batch, error, fetch_request};
use crate::versions::groups::wait_for_coordinator;

/// What a producer of Apache Kafka 4.3.1 pushed.
const JAVA_PRODUCER: &[u8] = include_bytes!("../vectors/java-producer-metrics.zst");
const ZSTD: i8 = 4;
const CLIENT_METRICS: i8 = 16;

async fn ask(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let text = format!("{request} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// The metrics' text.
async fn scrape(address: SocketAddr) -> String {
    let (head, body) = ask(address, "GET /metrics").await;
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.ends_with("# EOF\n"));
    body
}

/// The value behind a name with its labels.
fn value(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

/// Lines of OpenMetrics: a family's values follow its type, no series stands there twice, every name and value is one.
fn check_form(text: &str) {
    let (mut families, mut series) = (Vec::new(), std::collections::HashSet::new());
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let family = rest.split(' ').next().unwrap().to_owned();
            assert!(!families.contains(&family), "{family} stands there twice");
            families.push(family);
        } else if !line.starts_with("# HELP ") {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(series.insert(name.to_owned()), "{line}");
            let bare = name.split('{').next().unwrap();
            assert!(bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
            assert!(bare.starts_with(families.last().unwrap().as_str()), "{line}");
        }
    }
}

async fn start() -> Option<(Broker, SocketAddr)> {
    let settings =
        [("milena.metrics.listener", "127.0.0.1:0"), ("group.streams.initial.rebalance.delay.ms", "0")];
    let broker = Broker::start_with(&settings).await?;
    let address = broker.metrics_address().unwrap();
    Some((broker, address))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_do_is_counted() {
    let Some((broker, address)) = start().await else { return };
    let mut client = broker.connect().await;
    let topic = client.create_topic("counted", 3, &[]).await;
    let before = scrape(address).await;
    let records = batch(&["one", "two", "three"]);
    client.produce(&topic, &records).await;
    client.call(12, &fetch_request(12, &topic, &[(0, 0)])).await;
    let after = scrape(address).await;
    check_form(&after);

    let grew = |name: &str| value(&after, name).unwrap() - value(&before, name).unwrap_or(0.0);
    assert_eq!(grew("kafka_server_brokertopicmetrics_messagesin_total"), 3.0);
    assert_eq!(grew("kafka_server_brokertopicmetrics_bytesin_total"), records.len() as f64);
    assert_eq!(grew("kafka_server_brokertopicmetrics_bytesout_total"), records.len() as f64);
    let name = topic.name.as_str();
    let of_topic = |what: &str| {
        value(&after, &format!("kafka_server_brokertopicmetrics_{what}_total{{topic=\"{name}\"}}"))
    };
    assert_eq!(of_topic("messagesin"), Some(3.0));
    assert_eq!(
        (of_topic("bytesin"), of_topic("bytesout")),
        (Some(records.len() as f64), Some(records.len() as f64))
    );
    assert_eq!((of_topic("totalproducerequests"), of_topic("failedproducerequests")), (Some(1.0), Some(0.0)));
    let of_log = |what: &str, partition: i32| {
        value(&after, &format!("kafka_log_log_{what}{{topic=\"{name}\",partition=\"{partition}\"}}"))
    };
    assert_eq!((of_log("size", 0), of_log("size", 2)), (Some(records.len() as f64), Some(0.0)));
    assert_eq!((of_log("logstartoffset", 0), of_log("logendoffset", 0)), (Some(0.0), Some(3.0)));
    assert_eq!(of_log("numlogsegments", 1), Some(1.0));
    let of_partition = |what: &str| {
        value(&after, &format!("kafka_cluster_partition_{what}{{topic=\"{name}\",partition=\"1\"}}"))
    };
    assert_eq!((of_partition("replicascount"), of_partition("insyncreplicascount")), (Some(1.0), Some(1.0)));
    assert_eq!(of_partition("underreplicated"), Some(0.0));
    for api in ["Produce", "Fetch"] {
        assert_eq!(grew(&format!("kafka_network_requestmetrics_requests_total{{request=\"{api}\"}}")), 1.0);
        let count = |of| format!("kafka_network_requestmetrics_{of}timems_count{{request=\"{api}\"}}");
        assert_eq!((grew(&count("local")), grew(&count("total"))), (1.0, 1.0));
        let infinite =
            format!("kafka_network_requestmetrics_totaltimems_bucket{{le=\"+Inf\",request=\"{api}\"}}");
        assert_eq!(grew(&infinite), 1.0);
    }
    let sent = grew("kafka_network_requestmetrics_requestbytes_total{request=\"Produce\"}");
    let answered = grew("kafka_network_requestmetrics_responsebytes_total{request=\"Fetch\"}");
    assert!(sent > records.len() as f64 && answered > records.len() as f64, "{sent} {answered}");

    let replicas = |name: &str| value(&after, &format!("kafka_server_replicamanager_{name}")).unwrap();
    assert_eq!((replicas("partitioncount"), replicas("leadercount")), (3.0, 3.0));
    assert_eq!((replicas("underreplicatedpartitions"), replicas("underminisrpartitioncount")), (0.0, 0.0));
    let controller = |name: &str| value(&after, &format!("kafka_controller_kafkacontroller_{name}")).unwrap();
    assert_eq!((controller("activecontrollercount"), controller("activebrokercount")), (1.0, 1.0));
    let node = value(&after, "kafka_server_raft_metrics_current_leader").unwrap();
    assert!(node >= 0.0 && value(&after, "kafka_server_raft_metrics_current_epoch").unwrap() >= 1.0);
    assert_eq!(value(&after, "kafka_server_kafkaserver_brokerstate"), Some(3.0));
    let applied = value(&after, "kafka_server_broker_metadata_metrics_last_applied_record_offset").unwrap();
    assert!(applied > 0.0 && controller("lastappliedrecordoffset") > 0.0);
    assert!(controller("lastappliedrecordtimestamp") > 1.7e12);
    assert_eq!((controller("globaltopiccount"), controller("globalpartitioncount")), (1.0, 3.0));
    assert_eq!(value(&after, "kafka_log_logmanager_offlinelogdirectorycount"), Some(0.0));
    let dir = broker.directory().data().display().to_string();
    assert_eq!(
        value(&after, &format!("kafka_log_logmanager_logdirectoryoffline{{logDirectory=\"{dir}\"}}")),
        Some(0.0)
    );
    assert!(value(&after, "process_resident_memory_bytes").unwrap() > 1e6);
    assert!(value(&after, "process_cpu_seconds_total").unwrap() > 0.0);

    let named =
        delete_topics_request::DeleteTopicState { name: Some(topic.name.clone()), topic_id: Uuid::ZERO };
    client.call(6, &DeleteTopicsRequest { topics: vec![named], ..DeleteTopicsRequest::default() }).await;
    let of_the_topic = format!("topic=\"{name}\"");
    let gone = loop {
        // The broker hears of it when the controller has answered.
        let text = scrape(address).await;
        if !text.contains(&of_the_topic) {
            break text;
        }
    };
    check_form(&gone);
    let all = "kafka_server_brokertopicmetrics_messagesin_total";
    assert_eq!(value(&gone, all), value(&after, all), "a counter never falls");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_counted_by_type_and_state() {
    let Some((broker, address)) = start().await else { return };
    let mut client = broker.connect().await;
    let topic = client.create_topic("counted", 2, &[]).await;
    wait_for_coordinator(&mut client, "g").await;
    let name = |name: &str| format!("kafka_server_group_coordinator_metrics_{name}");
    let before = scrape(address).await;
    check_form(&before);
    let streams = name("group_count{protocol=\"streams\"}");
    assert_eq!(value(&before, &streams), Some(0.0));
    assert_eq!(value(&before, &name("streams_group_rebalance_count_total")), Some(0.0));

    let subtopology = streams_group_heartbeat_request::Subtopology {
        subtopology_id: "0".to_owned(),
        source_topics: vec![topic.name.clone()],
        ..Default::default()
    };
    let topology = streams_group_heartbeat_request::Topology { epoch: 0, subtopologies: vec![subtopology] };
    let request = StreamsGroupHeartbeatRequest {
        group_id: "g".to_owned(),
        member_id: "a-thread".to_owned(),
        rebalance_timeout_ms: 30_000,
        topology: Some(topology),
        active_tasks: Some(Vec::new()),
        standby_tasks: Some(Vec::new()),
        warmup_tasks: Some(Vec::new()),
        process_id: Some("a-process".to_owned()),
        ..StreamsGroupHeartbeatRequest::default()
    };
    let response = client.call(1, &request).await;
    assert_eq!(error(response.error_code), ErrorCode::None);
    let after = scrape(address).await;
    check_form(&after);
    assert_eq!(value(&after, &streams), Some(1.0));
    for (state, count) in [("Stable", 1.0), ("Assigning", 0.0), ("Empty", 0.0), ("NotReady", 0.0)] {
        let counted = value(&after, &name(&format!("streams_group_count{{state=\"{state}\"}}")));
        assert_eq!(counted, Some(count), "{state}");
    }
    assert_eq!(value(&after, &name("streams_group_rebalance_count_total")), Some(1.0));
    for kind in ["classic", "consumer", "share"] {
        assert_eq!(value(&after, &name(&format!("group_count{{protocol=\"{kind}\"}}"))), Some(0.0), "{kind}");
    }
    assert_eq!(value(&after, &name("offset_count")), Some(0.0));
}

async fn subscribe(client: &mut Client) -> GetTelemetrySubscriptionsResponse {
    let pairs = [("interval.ms", "60000"), ("metrics", "*")];
    let configs = pairs.map(|(name, value)| AlterableConfig {
        name: name.to_owned(),
        config_operation: 0,
        value: Some(value.to_owned()),
    });
    let resource = AlterConfigsResource {
        resource_type: CLIENT_METRICS,
        resource_name: "all".to_owned(),
        configs: configs.into(),
    };
    client.call(1, &IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false }).await;
    loop {
        let asked =
            client.call(0, &GetTelemetrySubscriptionsRequest { client_instance_id: Uuid::ZERO }).await;
        if !asked.requested_metrics.is_empty() {
            return asked;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_push_is_there_until_they_go() {
    let Some((broker, address)) = start().await else { return };
    let mut client = broker.connect().await;
    client.client_id = "app \"one\"\\\n".to_owned();
    let asked = subscribe(&mut client).await;
    let push = PushTelemetryRequest {
        client_instance_id: asked.client_instance_id,
        subscription_id: asked.subscription_id,
        terminating: false,
        compression_type: ZSTD,
        metrics: Bytes::from_static(JAVA_PRODUCER).to_vec(),
    };
    assert_eq!(error(client.call(0, &push).await.error_code), ErrorCode::None);

    let text = scrape(address).await;
    check_form(&text);
    // What the client calls itself cannot break the lines.
    let whose =
        format!("client_id=\"app \\\"one\\\"\\\\\\n\",client_instance_id=\"{}\"", asked.client_instance_id);
    let of_client: Vec<&str> = text.lines().filter(|line| line.contains(&whose)).collect();
    assert_eq!(of_client.len(), 106, "{of_client:#?}");
    assert!(of_client.iter().all(|line| line.starts_with("kafka_client_producer_")));
    let node = "kafka_client_producer_node_request_rate{";
    let is_nodes = |line: &&str| line.starts_with(node) && line.contains(",node_id=\"node-1\"}");
    assert!(of_client.iter().any(is_nodes), "{of_client:#?}");

    drop(client);
    for _ in 0..1000 {
        if !scrape(address).await.contains("kafka_client_") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the metrics of a client that is gone stay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_paths_and_methods_and_nonsense_are_refused() {
    let Some((broker, address)) = start().await else { return };
    assert!(ask(address, "GET /").await.0.starts_with("HTTP/1.1 404"));
    assert!(ask(address, "POST /metrics").await.0.starts_with("HTTP/1.1 405"));
    let (head, body) = ask(address, "HEAD /metrics").await;
    assert!(head.starts_with("HTTP/1.1 200") && body.is_empty());
    // A client of Kafka that has the wrong port.
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&[0, 0, 0, 10, 0, 18, 0, 3, 0, 0, 0, 0, 0xff, 0xff]).await.unwrap();
    drop(stream);
    check_form(&scrape(address).await);
    drop(broker.stop().await);
    assert!(TcpStream::connect(address).await.is_err(), "the endpoint ends with the broker");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_setting_there_is_no_endpoint() {
    let Some(broker) = Broker::start_with(&[]).await else { return };
    assert_eq!(broker.metrics_address(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let holder = std::net::TcpListener::bind(taken).unwrap();
    let directory = Directory::formatted(&[("milena.metrics.listener", &taken.to_string())]);
    let Err(error) = directory.try_start().await else { panic!("it started") };
    let said = error.to_string();
    assert!(
        said.contains(&format!("cannot listen on {taken} for listener milena.metrics.listener")),
        "{said}"
    );
    drop(holder);
}
