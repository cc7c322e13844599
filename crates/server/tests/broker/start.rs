//! Starts that cannot be: the message names what is wrong, and nothing is changed.

use std::fs;

use common::ErrorCode;
use protocol::messages::DescribeLogDirsRequest;

use crate::harness::{Broker, Directory, batch, config_of, error, format};

/// Why a broker does not start.
async fn refused(directory: Directory) -> String {
    match directory.try_start().await {
        Ok(_) => panic!("it starts"),
        Err(error) => error.to_string(),
    }
}

/// Asserts that a message has all of these in it.
#[track_caller]
fn assert_names(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

fn formatted() -> Directory {
    Directory::formatted(&[])
}

/// Changes a line of `meta.properties`.
fn change_meta(directory: &Directory, from: &str, to: &str) {
    let path = directory.data().join("meta.properties");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_of_another_node_is_left_alone() {
    let directory = formatted();
    change_meta(&directory, "node.id=1", "node.id=7");
    let data = directory.data().display().to_string();
    let before = fs::read_to_string(directory.data().join("meta.properties")).unwrap();
    let copy = directory.copy();
    let message = refused(directory).await;
    assert_names(&message, &[&data, "node.id", "7", "1"]);
    assert_eq!(fs::read_to_string(copy.data().join("meta.properties")).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directories_of_two_clusters_do_not_mix() {
    let mut directory = formatted();
    let other = directory.root.path().join("other");
    format(&other, Some("another-cluster-of-them"));
    let dirs = format!("{},{}", directory.data().display(), other.display());
    directory.settings.push(("log.dirs".to_owned(), dirs));
    let message = refused(directory).await;
    assert_names(&message, &["another-cluster-of-them", "log.dirs", &other.display().to_string()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_belongs_to_one_broker_at_a_time() {
    let Some(broker) = Broker::start_with(&[]).await else { return };
    let data = broker.directory().data();
    let config = config_of(
        &data,
        &[
            ("process.roles", "broker,controller"),
            ("node.id", "1"),
            ("controller.quorum.bootstrap.servers", "127.0.0.1:9093"),
            ("listeners", "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0"),
            ("controller.listener.names", "CONTROLLER"),
        ],
    );
    let message = match server::start(config).await {
        Ok(_) => panic!("two brokers have one directory"),
        Err(error) => error.to_string(),
    };
    assert_names(&message, &[&data.display().to_string()]);
    // The first one does not notice.
    let mut client = broker.connect().await;
    let topic = client.create_topic("mine", 1, &[]).await;
    client.produce(&topic, &batch(&["a"])).await;
    let directory = broker.stop().await;
    let broker = directory.start().await;
    broker.connect().await.wait_for(&topic.name, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_named_and_the_directory_is_free_again() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut directory = formatted();
    let listeners = format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:0");
    directory.settings.push(("listeners".to_owned(), listeners));
    let copy = directory.copy();
    let message = refused(directory).await;
    assert_names(&message, &["PLAINTEXT", &port, "listeners"]);
    drop(taken);
    drop(copy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_failed_can_be_tried_again() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners = format!("PLAINTEXT://{},CONTROLLER://127.0.0.1:0", taken.local_addr().unwrap());
    let directory = formatted();
    let mut settings = directory.settings.clone();
    settings.push(("listeners".to_owned(), listeners));
    let first = Directory { root: directory.root, settings };
    assert!(server::start(first.config()).await.is_err());
    let second = Directory { root: first.root, settings: directory.settings };
    let broker = second.start().await;
    broker.connect().await.create_topic("after-all", 1, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directories_that_cannot_be_used_are_named() {
    let unformatted = Directory { root: tempfile::tempdir().unwrap(), settings: Vec::new() };
    let data = unformatted.data().display().to_string();
    let message = refused(unformatted).await;
    assert_names(&message, &[&data, "storage format"]);

    let file = Directory { root: tempfile::tempdir().unwrap(), settings: Vec::new() };
    fs::write(file.data(), "a file").unwrap();
    let data = file.data().display().to_string();
    let message = refused(file).await;
    assert_names(&message, &[&data]);

    let mut second = formatted();
    let no_directory = second.root.path().join("no-directory");
    fs::write(&no_directory, "a file").unwrap();
    let dirs = format!("{},{}", second.data().display(), no_directory.display());
    second.settings.push(("log.dirs".to_owned(), dirs));
    // With another that can be, it goes on without it, as Kafka does after the failure of a disk.
    let broker = second.start().await;
    let mut client = broker.connect().await;
    let topic = client.create_topic("without", 1, &[]).await;
    client.produce(&topic, &batch(&["a"])).await;
    let response = client.call(4, &DescribeLogDirsRequest { topics: None }).await;
    let mut codes: Vec<ErrorCode> = response.results.iter().map(|result| error(result.error_code)).collect();
    codes.sort_by_key(|code| code.code());
    assert_eq!(codes, [ErrorCode::None, ErrorCode::KafkaStorageError]);

    let nowhere = Directory {
        root: tempfile::tempdir().unwrap(),
        settings: vec![("log.dirs".to_owned(), "/proc/milena/data".to_owned())],
    };
    let message = refused(nowhere).await;
    assert_names(&message, &["/proc/milena/data"]);

    for (text, named) in [("version=1\nnode.id=one\n", "node.id=one"), ("what is this?", "what is this?")] {
        let damaged = formatted();
        let path = damaged.data().join("meta.properties");
        fs::write(&path, text).unwrap();
        let message = refused(damaged).await;
        assert_names(&message, &[&path.display().to_string(), named]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lone_node_formats_itself_but_no_directory_of_others() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let pairs = [("listeners", "PLAINTEXT://127.0.0.1:0")];
    let server = server::start(config_of(&data, &pairs)).await.unwrap();
    let cluster_id = server.cluster_id().to_owned();
    server.stop().await.unwrap();
    let server = server::start(config_of(&data, &pairs)).await.unwrap();
    assert_eq!(server.cluster_id(), cluster_id);
    server.stop().await.unwrap();
    // Of another number.
    let message = match server::start(config_of(&data, &[pairs[0], ("broker.id", "5")])).await {
        Ok(_) => panic!("it starts"),
        Err(error) => error.to_string(),
    };
    assert_names(&message, &[&data.display().to_string(), "5", "0"]);
    // With partitions but without a name of its own.
    let orphan = root.path().join("orphan");
    fs::create_dir_all(orphan.join("topic-0")).unwrap();
    fs::write(orphan.join("topic-0/00000000000000000000.log"), "").unwrap();
    let message = match server::start(config_of(&orphan, &pairs)).await {
        Ok(_) => panic!("it starts"),
        Err(error) => error.to_string(),
    };
    assert_names(&message, &[&orphan.display().to_string()]);
    assert!(!orphan.join("meta.properties").exists());
}
