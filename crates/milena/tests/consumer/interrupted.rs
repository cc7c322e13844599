//! Ctrl-C leaves nothing half done: what a console tool has taken is delivered, what it has printed is committed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use client::{Admin, ClientConfig};
use common::TopicPartition;

use crate::harness::*;

fn start(broker: &Broker, words: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_milena"));
    let (tool, options) = words.split_first().unwrap();
    command.args([tool, "--bootstrap-server", &broker.address]).args(options);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// What it ends with, once it is interrupted.
fn interrupt(mut child: Child) -> Option<i32> {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let until = Instant::now() + PATIENCE;
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status.code(),
            None if Instant::now() > until => {
                child.kill().unwrap();
                panic!("it does not end");
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Who has left has said so: the coordinator knows, and waits for no session to be over.
async fn assert_nobody_is_in(group: &str, broker: &Broker) {
    let admin = Admin::new(ClientConfig::new(broker.address.as_str()));
    let mut described = admin.describe_consumer_groups(&[group.to_owned()]).await.unwrap();
    assert_eq!(described.remove(group).unwrap().unwrap().members, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_console_producer_delivers_the_lines_that_it_has_taken() {
    let broker = Broker::start().await;
    let (topic, group) = (broker.topic(1).await, unique("group"));
    let patient = ["--topic", &topic, "--timeout", "600000", "--batch-size", "100"];
    let mut child = start(&broker, &[&["console-producer"][..], &patient].concat());
    // The long line is sent at once, as it fills a batch. Those behind it would wait ten minutes for company.
    let long = "x".repeat(200);
    let input = child.stdin.as_mut().unwrap();
    input.write_all(format!("{long}\none\ntwo\nthree\nhalf a li").as_bytes()).unwrap();
    let mut consumer = broker.consumer(&group, &[]);
    consumer.subscribe([topic.as_str()]).unwrap();
    let mut lines = Vec::new();
    let until = Instant::now() + PATIENCE;
    let mut interrupted = Some(child);
    while lines.len() < 4 {
        assert!(Instant::now() < until, "{lines:?}");
        let records = consumer.poll(Duration::from_millis(100)).await.unwrap();
        lines.extend(
            records.into_iter().map(|record| String::from_utf8(record.value.unwrap().to_vec()).unwrap()),
        );
        if !lines.is_empty()
            && let Some(child) = interrupted.take()
        {
            assert_eq!(tokio::task::spawn_blocking(|| interrupt(child)).await.unwrap(), Some(130));
        }
    }
    assert_eq!(lines, [&long, "one", "two", "three"]);
    assert!(consumer.poll(Duration::from_millis(200)).await.unwrap().is_empty());
    consumer.close(PATIENCE).await.unwrap();
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_console_consumer_commits_what_it_has_printed_and_leaves() {
    let broker = Broker::start().await;
    for protocol in ["classic", "consumer"] {
        let (topic, group) = (broker.topic(1).await, unique("group"));
        broker.produce(&topic, 1, 0, 50).await;
        let protocol = format!("group.protocol={protocol}");
        let reading = ["console-consumer", "--topic", &topic, "--group", &group, "--from-beginning"];
        let mut child = start(&broker, &[&reading[..], &["--command-property", &protocol]].concat());
        let printed = BufReader::new(child.stdout.take().unwrap());
        let read = move || {
            let lines: Vec<String> = printed.lines().take(50).map(Result::unwrap).collect();
            (interrupt(child), lines)
        };
        let (code, lines) = tokio::task::spawn_blocking(read).await.unwrap();
        assert_eq!((code, lines.len(), lines[49].as_str()), (Some(130), 50, "0-49"));
        // The next member has the partition at once, and goes on behind what was printed.
        assert_nobody_is_in(&group, &broker).await;
        broker.produce(&topic, 1, 50, 1).await;
        let mut next = broker.consumer(&group, &[]);
        next.subscribe([topic.as_str()]).unwrap();
        let records = loop {
            let records = next.poll(Duration::from_secs(1)).await.unwrap();
            if !records.is_empty() {
                break records;
            }
        };
        assert_eq!((records.len(), records[0].offset), (1, 50));
        let partition = TopicPartition::new(topic.as_str(), 0);
        assert_eq!(next.position(&partition), Some(51));
        next.close(PATIENCE).await.unwrap();
    }
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_perf_test_leaves_its_group() {
    let broker = Broker::start().await;
    let (topic, group) = (broker.topic(1).await, unique("group"));
    broker.produce(&topic, 1, 0, 50).await;
    let reading = ["consumer-perf-test", "--topic", &topic, "--group", &group, "--num-records", "1000"];
    let telling =
        ["--timeout", "600000", "--show-detailed-stats", "--hide-header", "--reporting-interval", "0"];
    let mut child = start(&broker, &[&reading[..], &telling].concat());
    let mut told = BufReader::new(child.stdout.take().unwrap());
    let read = move || {
        let mut line = String::new();
        told.read_line(&mut line).unwrap();
        (interrupt(child), line)
    };
    let (code, line) = tokio::task::spawn_blocking(read).await.unwrap();
    assert_eq!(code, Some(130), "{line}");
    assert_nobody_is_in(&group, &broker).await;
    let mut next = broker.consumer(&group, &[]);
    next.subscribe([topic.as_str()]).unwrap();
    let until = Instant::now() + PATIENCE;
    while next.assignment().is_empty() {
        assert!(Instant::now() < until, "the next member gets nothing");
        next.poll(Duration::from_millis(100)).await.unwrap();
    }
    next.close(PATIENCE).await.unwrap();
    broker.stop().await;
}
