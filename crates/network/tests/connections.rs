//! A listener with a small service: what it promises to every client.

use std::sync::Arc;
use std::time::Duration;

use network::{
    ConnectionInfo, ConnectionLimits, ConnectionQuota, Handled, Listener, ListenerConfig, Outbox,
    RequestMemory, RunningListener, Service, ServiceConnection,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Answers each frame with itself; `later` in front makes it come later, `close` ends the connection.
///
/// `never` in front waits for ever, and holds what is in here meanwhile.
#[derive(Clone, Default)]
struct Echo {
    held: Arc<()>,
}

impl Service for Echo {
    type Connection = Echo;
    fn connect(&self, _: ConnectionInfo) -> Echo {
        self.clone()
    }
}

fn answer(frame: &[u8], out: &mut Outbox) {
    let mut bytes = out.take();
    bytes.extend_from_slice(&(frame.len() as i32).to_be_bytes());
    bytes.extend_from_slice(frame);
    out.restore(bytes);
}

impl ServiceConnection for Echo {
    fn handle(&mut self, frame: &[u8], out: &mut Outbox) -> Handled {
        if frame.starts_with(b"close") {
            return Handled::Close;
        }
        if frame.starts_with(b"never") {
            let held = Arc::clone(&self.held);
            return Handled::Later(Box::pin(async move {
                let _held = held;
                std::future::pending().await
            }));
        }
        if frame.starts_with(b"later") {
            let frame = frame.to_vec();
            return Handled::Later(Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let mut out = Outbox::new();
                answer(&frame, &mut out);
                out
            }));
        }
        answer(frame, out);
        Handled::Done
    }
}

async fn start(
    max_request_bytes: usize,
    max_idle_ms: i64,
) -> (RunningListener, Arc<ConnectionQuota>, std::net::SocketAddr) {
    start_with(Echo::default(), max_request_bytes, max_idle_ms)
}

fn start_with(
    service: Echo,
    max_request_bytes: usize,
    max_idle_ms: i64,
) -> (RunningListener, Arc<ConnectionQuota>, std::net::SocketAddr) {
    let config = ListenerConfig {
        name: Arc::from("PLAINTEXT"),
        backlog: 50,
        send_buffer_bytes: 102_400,
        receive_buffer_bytes: 102_400,
        max_request_bytes,
        request_memory: RequestMemory::new(-1),
        max_idle_ms,
    };
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), config).unwrap();
    let address = listener.local_addr().unwrap();
    let quota = ConnectionQuota::new(ConnectionLimits::default());
    (listener.serve(service, Arc::clone(&quota)).unwrap(), quota, address)
}

fn frame(content: &[u8]) -> Vec<u8> {
    let mut frame = (content.len() as i32).to_be_bytes().to_vec();
    frame.extend_from_slice(content);
    frame
}

async fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut content = vec![0; stream.read_i32().await.unwrap() as usize];
    stream.read_exact(&mut content).await.unwrap();
    content
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_answered_in_order_whatever_their_size_and_pieces() {
    let (_running, _, address) = start(10_000_000, 0).await;
    let mut requests: Vec<Vec<u8>> = Vec::new();
    for index in 0..60usize {
        let mut content = if index % 7 == 0 { b"later".to_vec() } else { b"now".to_vec() };
        content.resize(5 + (index * index * 977) % 400_000, index as u8);
        requests.push(content);
    }
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let sent = requests.clone();
    let writer = tokio::spawn(async move {
        let bytes: Vec<u8> = sent.iter().flat_map(|content| frame(content)).collect();
        for piece in bytes.chunks(70_001) {
            writing.write_all(piece).await.unwrap();
        }
        writing
    });
    for expected in &requests {
        let mut content = vec![0; reading.read_i32().await.unwrap() as usize];
        reading.read_exact(&mut content).await.unwrap();
        assert!(content == *expected);
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn answers_before_a_waiting_one_are_not_held_back() {
    let (_running, _, address) = start(1000, 0).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut both = frame(b"first");
    both.extend_from_slice(&frame(b"later"));
    stream.write_all(&both).await.unwrap();
    assert_eq!(read_frame(&mut stream).await, b"first");
    assert_eq!(read_frame(&mut stream).await, b"later");
}

#[tokio::test]
async fn impossible_sizes_end_only_their_connection() {
    let (_running, quota, address) = start(1000, 0).await;
    let mut bystander = TcpStream::connect(address).await.unwrap();
    for size in [1001i32, -1, i32::MAX, i32::MIN] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&frame(b"good")).await.unwrap();
        stream.write_all(&size.to_be_bytes()).await.unwrap();
        assert_eq!(read_frame(&mut stream).await, b"good");
        assert_eq!(stream.read(&mut [0; 10]).await.unwrap_or(0), 0, "{size}");
    }
    bystander.write_all(&frame(b"still here")).await.unwrap();
    assert_eq!(read_frame(&mut bystander).await, b"still here");
    assert_eq!(quota.count(), 1);
}

#[tokio::test]
async fn a_closed_connection_first_gets_the_answers_it_is_owed() {
    let (_running, _, address) = start(1000, 0).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&[frame(b"owed"), frame(b"close")].concat()).await.unwrap();
    assert_eq!(read_frame(&mut stream).await, b"owed");
    assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 0);
}

#[tokio::test]
async fn idle_connections_are_ended_and_all_are_when_it_stops() {
    let (_running, _, address) = start(1000, 100).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    assert_eq!(idle.read(&mut [0; 10]).await.unwrap(), 0);

    let (running, _, address) = start(1000, 600_000).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&frame(b"hello")).await.unwrap();
    assert_eq!(read_frame(&mut stream).await, b"hello");
    running.stop();
    assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 0);
}

#[tokio::test]
async fn nothing_waits_for_a_client_that_is_gone() {
    let service = Echo::default();
    let held = Arc::clone(&service.held);
    let (_running, quota, address) = start_with(service, 1000, 0);
    let idle = Arc::strong_count(&held);
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&frame(b"never")).await.unwrap();
        streams.push(stream);
    }
    // Each connection has the service, and each answer that is waited for.
    while Arc::strong_count(&held) < idle + 6 {
        tokio::task::yield_now().await;
    }
    drop(streams);
    while Arc::strong_count(&held) > idle {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while quota.count() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_that_only_sends_no_more_is_answered() {
    let (_running, _, address) = start(1000, 0).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&frame(b"later")).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_frame(&mut stream).await, b"later");
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}
