//! The consumer against a broker that fails by appointment.

use common::ErrorCode;
use protocol::ApiKey;
use protocol::compression::Compression;
use protocol::messages::fetch_response::AbortedTransaction;
use protocol::records::{EndTxnMarker, Header, RecordBatchBuilder};

use super::*;
use crate::fake_broker::{FakeBroker, Fault, TOPIC, unused_address};

const SOON: Duration = Duration::from_secs(20);

fn config(broker: &FakeBroker) -> ConsumerConfig {
    let mut config = ConsumerConfig::new(broker.address());
    config.client.retry_backoff = Duration::from_millis(5);
    config
}

fn partition() -> TopicPartition {
    TopicPartition::new(TOPIC, 0)
}

fn batch(values: &[&str], compression: Compression) -> RecordBatchBuilder {
    let mut builder = RecordBatchBuilder::new(0, compression, TimestampType::CreateTime);
    for (index, value) in (0..).zip(values) {
        let headers = [Header::new("h", Some(b"1")), Header::new("none", None)];
        builder.append(1000 + index, Some(b"k"), Some(value.as_bytes()), &headers).unwrap();
    }
    builder
}

fn fill(broker: &FakeBroker, values: &[&str]) {
    broker.state().append(0, batch(values, Compression::None).build());
}

/// Reads until there are `count` records.
async fn read(consumer: &mut Consumer, count: usize) -> Vec<ConsumerRecord> {
    let mut records = Vec::new();
    while records.len() < count {
        let some = consumer.poll(SOON).await.unwrap();
        assert!(!some.is_empty(), "{} records of {count}", records.len());
        records.extend(some);
    }
    records
}

fn values(records: &[ConsumerRecord]) -> Vec<&str> {
    records.iter().map(|record| std::str::from_utf8(record.value.as_ref().unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn all_codecs_are_read_in_order_with_all_that_a_record_has() {
    let broker = FakeBroker::start(1).await;
    for codec in Compression::ALL {
        broker.state().append(0, batch(&["a", "b", ""], codec).build());
    }
    let mut consumer = Consumer::new(ConsumerConfig { max_poll_records: 2, ..config(&broker) }).unwrap();
    consumer.assign([(partition(), StartOffset::Earliest)]).unwrap();
    let records = read(&mut consumer, 15).await;
    assert_eq!(values(&records), ["a", "b", ""].repeat(5));
    assert!((0..).zip(&records).all(|(offset, record)| record.offset == offset));
    let last = &records[13];
    assert_eq!((last.timestamp, last.key.as_deref(), last.leader_epoch), (1001, Some(&b"k"[..]), Some(0)));
    assert_eq!(last.headers[0].0, "h");
    assert_eq!(last.headers[0].1.as_deref(), Some(&b"1"[..]));
    assert_eq!(last.headers[1], ("none".to_owned(), None));
    assert_eq!(consumer.position(&partition()), Some(15));
}

#[tokio::test]
async fn old_brokers_are_asked_by_name_and_new_ones_by_id() {
    for limit in [4, 12, 13, 18] {
        let broker = FakeBroker::start(1).await;
        broker.state().limits.insert(ApiKey::Fetch, limit);
        fill(&broker, &["a"]);
        let mut consumer = Consumer::new(config(&broker)).unwrap();
        consumer.assign([(partition(), StartOffset::At(0))]).unwrap();
        assert_eq!(values(&read(&mut consumer, 1).await), ["a"]);
        assert!(broker.state().requests.contains(&(ApiKey::Fetch, limit)));
    }
}

#[tokio::test]
async fn reading_begins_where_it_was_told_to() {
    let broker = FakeBroker::start(1).await;
    fill(&broker, &["a", "b", "c"]);
    fill(&broker, &["d"]);
    for (start, first) in [
        (StartOffset::Earliest, "a"),
        (StartOffset::At(1), "b"),
        (StartOffset::Timestamp(1002), "c"),
        (StartOffset::At(3), "d"),
    ] {
        let mut consumer = Consumer::new(config(&broker)).unwrap();
        consumer.assign([(partition(), start)]).unwrap();
        assert_eq!(values(&read(&mut consumer, 1).await)[0], first);
    }
    let mut consumer = Consumer::new(config(&broker)).unwrap();
    for start in [StartOffset::Latest, StartOffset::Timestamp(5000)] {
        consumer.assign([(partition(), start)]).unwrap();
        while consumer.position(&partition()).is_none() {
            assert!(consumer.poll(Duration::from_millis(1)).await.unwrap().is_empty());
        }
        assert_eq!(consumer.position(&partition()), Some(4));
    }
    fill(&broker, &["e"]);
    assert_eq!(values(&read(&mut consumer, 1).await), ["e"]);
    consumer.seek(&partition(), StartOffset::At(2)).unwrap();
    assert_eq!(consumer.position(&partition()), Some(2));
    assert_eq!(values(&read(&mut consumer, 3).await), ["c", "d", "e"]);
    assert!(consumer.seek(&TopicPartition::new(TOPIC, 7), StartOffset::Earliest).is_err());
}

#[tokio::test]
async fn offsets_are_found_by_time() {
    let broker = FakeBroker::start(1).await;
    fill(&broker, &["a", "b", "c"]);
    let consumer = Consumer::new(config(&broker)).unwrap();
    assert_eq!(consumer.beginning_offsets(&[partition()]).await.unwrap()[&partition()], 0);
    assert_eq!(consumer.end_offsets(&[partition()]).await.unwrap()[&partition()], 3);
    let found = consumer.offsets_for_times(&[(partition(), 1001)]).await.unwrap()[&partition()].unwrap();
    assert_eq!((found.offset, found.timestamp), (1, 1001));
    assert_eq!(consumer.offsets_for_times(&[(partition(), 9999)]).await.unwrap()[&partition()], None);
    assert_eq!(consumer.list_topics().await.unwrap(), [TOPIC]);
}

#[tokio::test]
async fn faults_that_pass_are_waited_out() {
    let broker = FakeBroker::start(1).await;
    fill(&broker, &["a"]);
    fill(&broker, &["b"]);
    fill(&broker, &["c"]);
    let refuse = |code| Fault::Refuse(code);
    broker.state().fetch_faults.extend([
        refuse(ErrorCode::NotLeaderOrFollower),
        Fault::Lose,
        refuse(ErrorCode::UnknownTopicId),
        refuse(ErrorCode::FencedLeaderEpoch),
    ]);
    let mut consumer = Consumer::new(config(&broker)).unwrap();
    consumer.assign([(partition(), StartOffset::Earliest)]).unwrap();
    assert_eq!(values(&read(&mut consumer, 3).await), ["a", "b", "c"]);
}

#[tokio::test]
async fn an_offset_that_the_log_does_not_have_is_reset_or_an_error() {
    let broker = FakeBroker::start(1).await;
    broker.state().log_start = 10;
    fill(&broker, &["a", "b"]);
    let reset = |auto_offset_reset| ConsumerConfig { auto_offset_reset, ..config(&broker) };
    let mut consumer = Consumer::new(reset(AutoOffsetReset::Earliest)).unwrap();
    consumer.assign([(partition(), StartOffset::At(3))]).unwrap();
    assert_eq!(read(&mut consumer, 2).await[0].offset, 10);
    let mut consumer = Consumer::new(reset(AutoOffsetReset::None)).unwrap();
    consumer.assign([(partition(), StartOffset::At(99))]).unwrap();
    let error = consumer.poll(SOON).await.unwrap_err();
    assert!(matches!(error, ClientError::OffsetOutOfRange { offset: 99, .. }), "{error}");
    consumer.seek(&partition(), StartOffset::At(11)).unwrap();
    assert_eq!(values(&read(&mut consumer, 1).await), ["b"]);
}

#[tokio::test]
async fn aborted_transactions_and_markers_are_not_seen() {
    let broker = FakeBroker::start(1).await;
    let transactional = |value: &str, producer: i64| {
        batch(&[value], Compression::None).with_producer(producer, 0, 0).with_transactional(true).build()
    };
    let marker = |producer: i64, committed: bool| {
        EndTxnMarker { committed, coordinator_epoch: 0 }.batch(0, 0, 0, producer, 0).unwrap()
    };
    let batches = [
        transactional("aborted", 1),
        transactional("committed", 2),
        marker(1, false),
        marker(2, true),
        transactional("later", 1),
        marker(1, true),
        batch(&["plain"], Compression::None).build(),
    ];
    {
        let mut state = broker.state();
        for batch in batches {
            state.append(0, batch);
        }
        state.aborted.push(AbortedTransaction { producer_id: 1, first_offset: 0 });
        // A broker's list is for one answer; here it is always the same one.
        state.batches_per_answer = 100;
    }
    let committed = ConsumerConfig { isolation_level: IsolationLevel::ReadCommitted, ..config(&broker) };
    let mut consumer = Consumer::new(committed).unwrap();
    consumer.assign([(partition(), StartOffset::Earliest)]).unwrap();
    assert_eq!(values(&read(&mut consumer, 3).await), ["committed", "later", "plain"]);
    let mut consumer = Consumer::new(config(&broker)).unwrap();
    consumer.assign([(partition(), StartOffset::Earliest)]).unwrap();
    assert_eq!(values(&read(&mut consumer, 4).await), ["aborted", "committed", "later", "plain"]);
    assert_eq!(consumer.position(&partition()), Some(7));
}

#[tokio::test]
async fn damage_is_told_behind_the_records_before_it() {
    let broker = FakeBroker::start(1).await;
    fill(&broker, &["good"]);
    fill(&broker, &["bad"]);
    let mut damaged = broker.state().log.get_mut(&0).unwrap().pop().unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    broker.state().log.get_mut(&0).unwrap().push(damaged);
    let mut consumer = Consumer::new(config(&broker)).unwrap();
    consumer.assign([(partition(), StartOffset::Earliest)]).unwrap();
    assert_eq!(values(&read(&mut consumer, 1).await), ["good"]);
    let error = consumer.poll(SOON).await.unwrap_err();
    assert!(matches!(error, ClientError::Damaged(_)), "{error}");
    // Past it, by the application's own decision.
    fill(&broker, &["after"]);
    consumer.seek(&partition(), StartOffset::At(2)).unwrap();
    assert_eq!(values(&read(&mut consumer, 1).await), ["after"]);
}

#[tokio::test]
async fn what_is_refused_is_told() {
    let broker = FakeBroker::start(1).await;
    let mut consumer = Consumer::new(config(&broker)).unwrap();
    consumer.assign([(TopicPartition::new("other", 0), StartOffset::Earliest)]).unwrap();
    assert_eq!(consumer.poll(SOON).await.unwrap_err().code(), Some(ErrorCode::TopicAuthorizationFailed));
    let address = unused_address();
    let mut consumer = Consumer::new(ConsumerConfig::new(address.clone())).unwrap();
    consumer.assign([(partition(), StartOffset::Earliest)]).unwrap();
    let error = consumer.poll(SOON).await.unwrap_err().to_string();
    assert!(error.contains(&address), "{error}");
}

#[tokio::test]
async fn a_nearer_replica_is_read_from_until_it_does_not_have_the_records() {
    let broker = FakeBroker::start(1).await;
    fill(&broker, &["a"]);
    broker.state().preferred_replicas.push_back(2);
    let near = ConsumerConfig {
        client_rack: "near".to_owned(),
        auto_offset_reset: AutoOffsetReset::None,
        ..config(&broker)
    };
    let mut consumer = Consumer::new(near).unwrap();
    consumer.assign([(partition(), StartOffset::At(0))]).unwrap();
    assert_eq!(values(&read(&mut consumer, 1).await), ["a"]);
    // Bootstrap, leader and replica.
    assert_eq!(broker.state().connections, 3);
    // The leader, asked in its place, has them: that is no reason to begin anew.
    broker.state().fetch_faults.push_back(Fault::Refuse(ErrorCode::OffsetOutOfRange));
    fill(&broker, &["b"]);
    assert_eq!(values(&read(&mut consumer, 1).await), ["b"]);
}

/// A consumer that has read three records, of which a new leader has two.
async fn truncated(broker: &FakeBroker, auto_offset_reset: AutoOffsetReset) -> Consumer {
    fill(broker, &["a", "b"]);
    fill(broker, &["lost"]);
    let mut consumer = Consumer::new(ConsumerConfig { auto_offset_reset, ..config(broker) }).unwrap();
    consumer.assign([(partition(), StartOffset::At(0))]).unwrap();
    assert_eq!(values(&read(&mut consumer, 3).await), ["a", "b", "lost"]);
    let mut state = broker.state();
    state.log.get_mut(&0).unwrap().pop();
    (state.leader_epoch, state.epoch_end) = (1, 2);
    state.append(0, batch(&["kept"], Compression::None).build());
    state.append(0, batch(&["next"], Compression::None).build());
    state.fetch_faults.push_back(Fault::Refuse(ErrorCode::FencedLeaderEpoch));
    drop(state);
    consumer
}

#[tokio::test]
async fn what_a_new_leader_has_in_the_place_of_lost_records_is_read() {
    let broker = FakeBroker::start(1).await;
    let mut consumer = truncated(&broker, AutoOffsetReset::Latest).await;
    assert_eq!(values(&read(&mut consumer, 2).await), ["kept", "next"]);
    assert_eq!(consumer.position(&partition()), Some(4));
    let broker = FakeBroker::start(1).await;
    let mut consumer = truncated(&broker, AutoOffsetReset::None).await;
    let error = consumer.poll(SOON).await.unwrap_err();
    assert!(matches!(error, ClientError::LogTruncation { offset: 3, end: 2, .. }), "{error}");
}

#[tokio::test]
async fn a_session_names_partitions_once_and_outlives_what_happens_to_it() {
    let broker = FakeBroker::start(2).await;
    let both = [partition(), TopicPartition::new(TOPIC, 1)];
    broker.state().batches_per_answer = 1;
    for _ in 0..4 {
        for partition in 0..2 {
            broker.state().append(partition, batch(&["a"], Compression::None).build());
        }
    }
    let mut consumer = Consumer::new(config(&broker)).unwrap();
    consumer.assign(both.map(|partition| (partition, StartOffset::Earliest))).unwrap();
    read(&mut consumer, 8).await;
    // Nothing is named that did not change: not the partition that stands still.
    broker.state().fetches.clear();
    fill(&broker, &["b"]);
    assert_eq!(values(&read(&mut consumer, 1).await), ["b"]);
    while broker.state().fetches.len() < 3 {
        consumer.poll(Duration::from_millis(1)).await.unwrap();
    }
    let fetches = broker.state().fetches.clone();
    // The first of them may be the one behind what was read before.
    assert!(fetches.iter().all(|(id, epoch, _)| *id != 0 && *epoch > 0), "{fetches:?}");
    assert!(fetches[1..].iter().all(|(_, _, named)| *named != [0, 1]), "{fetches:?}");
    // The broker makes room for others, or starts again, or loses an answer.
    for round in 0..3 {
        match round {
            0 => broker.state().sessions.clear(),
            1 => broker.state().sessions.values_mut().for_each(|(epoch, _)| *epoch += 7),
            _ => broker.state().fetch_faults.push_back(Fault::Lose),
        }
        for partition in 0..2 {
            broker.state().append(partition, batch(&["c"], Compression::None).build());
        }
        assert_eq!(values(&read(&mut consumer, 2).await), ["c", "c"]);
    }
    consumer.close(SOON).await.unwrap();
    let deadline = Instant::now() + SOON;
    while !broker.state().sessions.is_empty() {
        assert!(Instant::now() < deadline, "the session is not ended");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_partition_that_stands_still_does_not_hold_up_one_that_is_full() {
    let broker = FakeBroker::start(2).await;
    broker.state().batches_per_answer = 1;
    let long = "x".repeat(1000);
    for _ in 0..50 {
        fill(&broker, &[&long]);
    }
    // One batch at a time is room enough for this consumer. The broker waits for ever, where it may.
    broker.state().waits = true;
    let small = ConsumerConfig {
        max_partition_fetch_bytes: 100,
        fetch_max_wait: Duration::from_secs(3600),
        ..config(&broker)
    };
    let mut consumer = Consumer::new(small).unwrap();
    let both = [partition(), TopicPartition::new(TOPIC, 1)];
    consumer.assign(both.map(|partition| (partition, StartOffset::At(0)))).unwrap();
    assert_eq!(read(&mut consumer, 50).await.len(), 50);
}

#[tokio::test]
async fn records_that_are_kept_are_not_overwritten_by_later_answers() {
    let broker = FakeBroker::start(1).await;
    broker.state().batches_per_answer = 1;
    let value = |number: usize| char::from(b'a' + number as u8).to_string().repeat(100_000);
    for number in 0..20 {
        fill(&broker, &[&value(number)]);
    }
    let mut consumer = Consumer::new(config(&broker)).unwrap();
    consumer.assign([(partition(), StartOffset::Earliest)]).unwrap();
    let mut kept = read(&mut consumer, 10).await;
    // The memory of those that are dropped is used again.
    kept.truncate(5);
    read(&mut consumer, 10).await;
    assert!((0..5).all(|number| values(&kept)[number] == value(number)));
}

/// Leaves out the records with one value, and says which it saw.
#[derive(Clone, Default)]
struct LeavesOut(&'static str, Arc<std::sync::Mutex<Vec<i64>>>);

impl ConsumerInterceptor for LeavesOut {
    fn on_consume(&self, mut records: Vec<ConsumerRecord>) -> Vec<ConsumerRecord> {
        self.1.lock().unwrap().extend(records.iter().map(|record| record.offset));
        records.retain(|record| record.value.as_deref() != Some(self.0.as_bytes()));
        records
    }
}

#[tokio::test]
async fn interceptors_see_records_in_turn_and_what_they_leave_out_was_consumed() {
    let broker = FakeBroker::start(1).await;
    fill(&broker, &["a", "b", "c"]);
    let (first, second) = (LeavesOut("a", Arc::default()), LeavesOut("c", Arc::default()));
    let mut config = config(&broker);
    config.interceptors.add(first.clone());
    config.interceptors.add(second.clone());
    let mut consumer = Consumer::new(config).unwrap();
    consumer.assign([(partition(), StartOffset::Earliest)]).unwrap();
    assert_eq!(values(&read(&mut consumer, 1).await), ["b"]);
    assert_eq!((&*first.1.lock().unwrap(), &*second.1.lock().unwrap()), (&vec![0, 1, 2], &vec![1, 2]));
    assert_eq!(consumer.position(&partition()), Some(3));
    // A poll that finds nothing is nothing to look at.
    assert!(consumer.poll(Duration::from_millis(1)).await.unwrap().is_empty());
    assert_eq!(first.1.lock().unwrap().len(), 3);
}
