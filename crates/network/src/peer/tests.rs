use std::collections::VecDeque;
use std::time::Duration;

use protocol::messages::api_versions_response::ApiVersion;
use protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use protocol::messages::{
    ApiVersionsResponse, BrokerHeartbeatRequest, BrokerHeartbeatResponse, FetchRequest, FetchResponse,
    RequestHeader,
};
use protocol::{Message, Reader, Records, Writer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(20);

/// What the node does with a request that is no `ApiVersions`.
#[derive(Clone, Copy, PartialEq)]
enum Act {
    Answer,
    Hang,
    Close,
    /// Answers another request than was asked.
    Confuse,
    /// Claims an answer of two gigabytes.
    Boast,
}

/// A node that answers `ApiVersions`, and other requests as the script says; afterwards it answers all.
async fn node(script: &[Act]) -> (u16, Arc<Mutex<Vec<(i16, i16)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let script = Arc::new(Mutex::new(script.iter().copied().collect::<VecDeque<_>>()));
    let log = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&log)));
        }
    });
    (port, seen)
}

async fn serve(mut stream: TcpStream, script: Arc<Mutex<VecDeque<Act>>>, seen: Arc<Mutex<Vec<(i16, i16)>>>) {
    while let Ok(size) = stream.read_i32().await {
        let mut frame = vec![0; size as usize];
        stream.read_exact(&mut frame).await.unwrap();
        let key = ApiKey::from_code(i16::from_be_bytes([frame[0], frame[1]])).unwrap();
        let mut version = i16::from_be_bytes([frame[2], frame[3]]);
        let header =
            RequestHeader::read(&mut Reader::new(&frame), key.request_header_version(version)).unwrap();
        let mut writer = Writer::new();
        writer.i32(0);
        writer.i32(header.correlation_id);
        if key == ApiKey::ApiVersions {
            // An old node: it does not know the version that it is greeted with.
            let error_code = if version > 0 { 35 } else { 0 };
            version = 0;
            let entry =
                |api: ApiKey, max_version| ApiVersion { api_key: api.code(), min_version: 0, max_version };
            let api_keys = vec![entry(ApiKey::BrokerHeartbeat, 9), entry(ApiKey::Fetch, 12)];
            ApiVersionsResponse { error_code, api_keys, ..Default::default() }.write(&mut writer, 0).unwrap();
        } else {
            seen.lock().push((header.request_api_key, version));
            let act = script.lock().pop_front().unwrap_or(Act::Answer);
            match act {
                Act::Answer => {}
                Act::Hang => continue,
                Act::Close => return,
                Act::Confuse => writer.set_i32(4, header.correlation_id + 7),
                Act::Boast => {
                    stream.write_i32(i32::MAX).await.unwrap();
                    continue;
                }
            }
            writer.uvarint(0);
            if key == ApiKey::Fetch {
                let records = vec![7u8; 300_000];
                let partition =
                    PartitionData { records: Some(Records::Inline(&records)), ..PartitionData::default() };
                let topic = FetchableTopicResponse { partitions: vec![partition], ..Default::default() };
                FetchResponse { responses: vec![topic], ..Default::default() }
                    .write(&mut writer, version)
                    .unwrap();
            } else {
                BrokerHeartbeatResponse { throttle_time_ms: header.correlation_id, ..Default::default() }
                    .write(&mut writer, version)
                    .unwrap();
            }
        }
        let length = writer.position() - 4;
        writer.set_i32(0, length as i32);
        stream.write_all(&writer.into_bytes()).await.unwrap();
    }
}

fn peer(port: u16) -> Peer {
    Peer::new("127.0.0.1", port, PeerConfig::new("test"))
}

fn heartbeat() -> BrokerHeartbeatRequest {
    BrokerHeartbeatRequest::default()
}

#[tokio::test]
async fn a_request_connects_and_speaks_what_both_speak() {
    let (port, seen) = node(&[]).await;
    let peer = peer(port);
    assert!(!peer.is_connected());
    peer.disconnected().await;
    let ours = *ApiKey::BrokerHeartbeat.versions().end();
    assert_eq!(peer.version(ApiKey::BrokerHeartbeat, i16::MAX, LONG).await.unwrap(), ours);
    let answer = peer.send(&heartbeat(), LONG).await.unwrap();
    assert_eq!(answer.version(), ours);
    answer.read::<BrokerHeartbeatResponse>().unwrap();
    assert_eq!(peer.send_at_most(&heartbeat(), 0, LONG).await.unwrap().version(), 0);
    let key = ApiKey::BrokerHeartbeat.code();
    assert_eq!(*seen.lock(), [(key, ours), (key, 0)]);
    assert!(peer.is_connected());

    let request = protocol::messages::VoteRequest::default();
    let error = peer.send(&request, LONG).await.err().unwrap();
    assert!(matches!(error, PeerError::UnsupportedVersion { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        format!("127.0.0.1:{port} serves Vote in no version, and this node speaks it in versions 0 to 2")
    );
}

#[tokio::test]
async fn requests_go_out_behind_each_other_and_each_gets_its_own_answer() {
    let (port, seen) = node(&[]).await;
    let peer = Arc::new(peer(port));
    let mut tasks = Vec::new();
    for _ in 0..50 {
        let peer = Arc::clone(&peer);
        tasks.push(tokio::spawn(async move {
            let answer = peer.send(&heartbeat(), LONG).await.unwrap();
            answer.read::<BrokerHeartbeatResponse>().unwrap().throttle_time_ms
        }));
    }
    let mut ids = Vec::new();
    for task in tasks {
        ids.push(task.await.unwrap());
    }
    ids.sort_unstable();
    ids.dedup();
    // One connection: the numbers behind those of the greeting, each once.
    assert_eq!(ids, (2..52).collect::<Vec<i32>>());
    assert_eq!(seen.lock().len(), 50);
}

#[tokio::test]
async fn who_waits_is_told_when_the_connection_ends_and_the_next_request_makes_a_new_one() {
    let (port, _) = node(&[Act::Hang, Act::Close]).await;
    let peer = Arc::new(peer(port));
    let hanging = tokio::spawn({
        let peer = Arc::clone(&peer);
        async move { peer.send(&heartbeat(), LONG).await.err() }
    });
    while !peer.is_connected() {
        tokio::task::yield_now().await;
    }
    let watching = tokio::spawn({
        let peer = Arc::clone(&peer);
        async move { peer.disconnected().await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let closed = peer.send(&heartbeat(), LONG).await.err().unwrap();
    assert!(matches!(&closed, PeerError::Disconnected { .. }), "{closed}");
    assert!(closed.is_unreachable());
    assert!(matches!(hanging.await.unwrap(), Some(PeerError::Disconnected { .. })));
    watching.await.unwrap();
    assert!(!peer.is_connected());
    peer.send(&heartbeat(), LONG).await.unwrap();
}

#[tokio::test]
async fn a_request_without_an_answer_ends_the_connection_in_time() {
    let (port, _) = node(&[Act::Hang]).await;
    let peer = peer(port);
    let error = peer.send(&heartbeat(), Duration::from_millis(50)).await.err().unwrap();
    assert_eq!(error.to_string(), format!("127.0.0.1:{port} did not answer BrokerHeartbeat within 50 ms"));
    assert!(!peer.is_connected());
    peer.send(&heartbeat(), LONG).await.unwrap();
}

#[tokio::test]
async fn answers_that_are_none_end_the_connection() {
    let (port, _) = node(&[Act::Confuse, Act::Boast]).await;
    let peer = peer(port);
    for reason in ["an answer to nothing that was asked", "an answer of an impossible size"] {
        let error = peer.send(&heartbeat(), LONG).await.err().unwrap();
        assert!(error.to_string().contains(reason), "{error}");
        assert!(!peer.is_connected());
    }
    peer.send(&heartbeat(), LONG).await.unwrap();
}

#[tokio::test]
async fn this_side_can_end_the_connection() {
    let (port, _) = node(&[Act::Hang]).await;
    let peer = Arc::new(peer(port));
    let hanging = tokio::spawn({
        let peer = Arc::clone(&peer);
        async move { peer.send(&heartbeat(), LONG).await.err() }
    });
    while !peer.is_connected() {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    peer.disconnect();
    assert!(matches!(hanging.await.unwrap(), Some(PeerError::Disconnected { .. })));
    peer.send(&heartbeat(), LONG).await.unwrap();
}

#[tokio::test]
async fn attempts_that_fail_are_shared_and_further_apart() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let peer = Arc::new(peer(port));
    let started = Instant::now();
    let request = heartbeat();
    let both = tokio::join!(peer.send(&request, LONG), peer.send(&request, LONG));
    for outcome in [both.0, both.1] {
        let error = outcome.err().unwrap();
        assert!(matches!(&error, PeerError::Connect { .. }), "{error}");
        assert!(error.is_unreachable());
    }
    assert_eq!(peer.failed.lock().count, 1);
    for _ in 0..3 {
        peer.send(&heartbeat(), LONG).await.err().unwrap();
    }
    // Pauses of 20, 40 and 80 ms.
    assert!(started.elapsed() >= Duration::from_millis(140));
    // The next pause is longer than this request can wait.
    let error = peer.send(&heartbeat(), Duration::from_millis(10)).await.err().unwrap();
    assert!(matches!(error, PeerError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn a_node_that_accepts_and_never_answers_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = PeerConfig { connect_timeout: Duration::from_millis(50), ..PeerConfig::new("test") };
    let peer = Peer::new("127.0.0.1", listener.local_addr().unwrap().port(), config);
    let error = peer.send(&heartbeat(), SECOND).await.err().unwrap();
    assert!(error.to_string().contains("it accepts connections and does not answer"), "{error}");
}

#[tokio::test]
async fn records_are_read_where_they_lie_and_their_buffer_is_used_again() {
    let (port, _) = node(&[]).await;
    let peer = peer(port);
    let mut places = Vec::new();
    for _ in 0..3 {
        let answer = peer.send(&FetchRequest::default(), LONG).await.unwrap();
        let message: FetchResponse<'_> = answer.read().unwrap();
        let records = message.responses[0].partitions[0].records.as_ref().unwrap();
        assert_eq!(records.inline(), vec![7u8; 300_000]);
        places.push(records.inline().as_ptr() as usize);
    }
    assert_eq!(places, [places[0]; 3]);
}
