use super::*;
use protocol::messages::fetch_request::{FetchPartition as Named, FetchTopic, ForgottenTopic};

fn request(id: i32, epoch: i32, partitions: &[(i32, i64)]) -> FetchRequest {
    let partitions = partitions
        .iter()
        .map(|(partition, fetch_offset)| Named {
            partition: *partition,
            fetch_offset: *fetch_offset,
            ..Named::default()
        })
        .collect::<Vec<_>>();
    let topics = match partitions.is_empty() {
        true => Vec::new(),
        false => vec![FetchTopic { topic: "t".to_owned(), partitions, ..FetchTopic::default() }],
    };
    FetchRequest { session_id: id, session_epoch: epoch, topics, ..FetchRequest::default() }
}

fn quiet() -> PartitionFacts {
    PartitionFacts {
        has_records: false,
        error: ErrorCode::None,
        must_be_told: false,
        high_watermark: 10,
        log_start_offset: 0,
    }
}

fn order(context: &FetchContext) -> Vec<i32> {
    context.partitions.iter().map(|partition| partition.partition).collect()
}

fn open(sessions: &FetchSessions, partitions: &[(i32, i64)]) -> i32 {
    let context = sessions.begin(&request(0, 0, partitions), 12, 0, 0).unwrap();
    sessions.finish(&context, &vec![quiet(); partitions.len()], 0).0
}

#[test]
fn a_session_names_only_what_is_new() {
    let sessions = FetchSessions::new(10);
    let id = open(&sessions, &[(0, 5), (1, 6), (2, 7)]);
    assert!(id > 0);

    let context = sessions.begin(&request(id, 1, &[]), 12, 0, 1).unwrap();
    assert_eq!(order(&context), [0, 1, 2]);
    let records = PartitionFacts { has_records: true, high_watermark: 11, ..quiet() };
    let failed = PartitionFacts { error: ErrorCode::NotLeaderOrFollower, ..quiet() };
    assert_eq!(sessions.finish(&context, &[records, quiet(), failed], 1), (id, vec![true, false, true]));

    // Who gave records goes behind the others; who failed is named again once it is well.
    let context = sessions.begin(&request(id, 2, &[(0, 9)]), 12, 0, 2).unwrap();
    assert_eq!(order(&context), [1, 2, 0]);
    assert_eq!(context.partitions[2].offset, 9);
    let grown = PartitionFacts { high_watermark: 11, ..quiet() };
    assert_eq!(sessions.finish(&context, &[quiet(), quiet(), grown], 2), (id, vec![false, true, false]));
}

#[test]
fn partitions_come_and_go() {
    let sessions = FetchSessions::new(10);
    let id = open(&sessions, &[(0, 0), (1, 0)]);
    let mut change = request(id, 1, &[(2, 0)]);
    change.forgotten_topics_data =
        vec![ForgottenTopic { topic: "t".to_owned(), partitions: vec![0, 9], ..ForgottenTopic::default() }];
    let context = sessions.begin(&change, 12, 0, 1).unwrap();
    assert_eq!(order(&context), [1, 2]);
    assert_eq!(sessions.finish(&context, &[quiet(), quiet()], 1).1, [false, true]);
}

#[test]
fn wrong_ids_epochs_and_kinds_of_topics_are_refused() {
    let sessions = FetchSessions::new(10);
    let id = open(&sessions, &[(0, 0)]);
    let error = |request: &FetchRequest, version| sessions.begin(request, version, 0, 1).err();
    assert_eq!(error(&request(id + 1, 1, &[]), 12), Some(ErrorCode::FetchSessionIdNotFound));
    assert_eq!(error(&request(id, 7, &[]), 12), Some(ErrorCode::InvalidFetchSessionEpoch));
    assert_eq!(error(&request(id, 1, &[]), 13), Some(ErrorCode::FetchSessionTopicIdError));
    // Epoch -1 ends the session and asks for none.
    let context = sessions.begin(&request(id, -1, &[(0, 0)]), 12, 0, 1).unwrap();
    assert_eq!(sessions.finish(&context, &[quiet()], 1), (0, vec![true]));
    assert_eq!(error(&request(id, 1, &[]), 12), Some(ErrorCode::FetchSessionIdNotFound));
}

#[test]
fn without_room_a_fetch_stays_without_session_until_another_was_idle_for_long() {
    let sessions = FetchSessions::new(1);
    let first = open(&sessions, &[(0, 0)]);
    assert!(first > 0);
    assert_eq!(open(&sessions, &[(0, 0)]), 0);
    let context = sessions.begin(&request(0, 0, &[(0, 0)]), 12, 0, EVICTION_MS + 1).unwrap();
    let (second, _) = sessions.finish(&context, &[quiet()], EVICTION_MS + 1);
    assert!(second > 0);
    let gone = sessions.begin(&request(first, 1, &[]), 12, 0, EVICTION_MS + 2).err();
    assert_eq!(gone, Some(ErrorCode::FetchSessionIdNotFound));
}

#[test]
fn epochs_go_round_without_zero() {
    assert_eq!(next_epoch(1), 2);
    assert_eq!(next_epoch(i32::MAX), 1);
}

#[test]
fn a_follower_takes_the_place_of_a_consumer_but_not_of_another_follower() {
    let sessions = FetchSessions::new(1);
    let consumer = open(&sessions, &[(0, 0)]);
    let follower = || {
        let mut request = request(0, 0, &[(0, 0)]);
        request.replica_id = 2;
        let context = sessions.begin(&request, 12, 0, 1).unwrap();
        sessions.finish(&context, &[quiet()], 1).0
    };
    assert!(follower() > 0);
    let gone = sessions.begin(&request(consumer, 1, &[]), 12, 0, 1).err();
    assert_eq!(gone, Some(ErrorCode::FetchSessionIdNotFound));
    assert_eq!(follower(), 0);
    assert_eq!(open(&sessions, &[(0, 0)]), 0);
}
