//! A listener with a small service: what it promises to every client.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use network::{
    ConnectionInfo, ConnectionLimits, ConnectionQuota, Handled, Listener, ListenerConfig, Outbox,
    RequestMemory, RunningListener, Service, ServiceConnection,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Answers each frame with itself; `later` in front makes it come later, `close` ends the connection.
///
/// `never` in front waits for ever, and holds what is in here meanwhile. `busy` keeps the thread until it is released. `count` is
/// answered with how many requests were served before it.
#[derive(Clone, Default)]
struct Echo {
    held: Arc<()>,
    is_busy: Arc<AtomicBool>,
    is_released: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
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
        if frame.starts_with(b"busy") {
            self.is_busy.store(true, Ordering::SeqCst);
            while !self.is_released.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        }
        let served = self.served.fetch_add(1, Ordering::SeqCst);
        if frame.starts_with(b"count") {
            answer(served.to_string().as_bytes(), out);
            return Handled::Done;
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
    start_within(RequestMemory::new(-1), service, max_request_bytes, max_idle_ms)
}

fn start_within(
    request_memory: Arc<RequestMemory>,
    service: Echo,
    max_request_bytes: usize,
    max_idle_ms: i64,
) -> (RunningListener, Arc<ConnectionQuota>, std::net::SocketAddr) {
    serve(service, ListenerConfig { max_request_bytes, request_memory, max_idle_ms, ..config() })
}

fn config() -> ListenerConfig {
    ListenerConfig {
        name: Arc::from("PLAINTEXT"),
        backlog: 50,
        send_buffer_bytes: 102_400,
        receive_buffer_bytes: 102_400,
        max_request_bytes: 1000,
        request_memory: RequestMemory::new(-1),
        max_idle_ms: 0,
        descriptors: i32::MAX,
    }
}

fn serve(
    service: Echo,
    config: ListenerConfig,
) -> (RunningListener, Arc<ConnectionQuota>, std::net::SocketAddr) {
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

/// Sends what some clients send at once: large requests among small ones, all of which come back as they were.
async fn many_large_requests(limit: i64) {
    let memory = RequestMemory::new(limit);
    let (_running, _, address) = start_within(Arc::clone(&memory), Echo::default(), 20_000_000, 0);
    let clients = (0..3usize).map(|client| {
        tokio::spawn(async move {
            let sizes: [usize; 7] = [100, 5_000_001, 2_097_148, 2_097_149, 30_000, 3_000_000, 1];
            let requests: Vec<Vec<u8>> = sizes
                .iter()
                .enumerate()
                .map(|(index, size)| {
                    let mut content = if index == 5 { b"later".to_vec() } else { Vec::new() };
                    let pattern: Vec<u8> = (0..1009).map(|byte| (byte * 31 + client + index) as u8).collect();
                    content.extend_from_slice(&pattern.repeat(size / 1009 + 1)[..*size]);
                    content
                })
                .collect();
            let (mut reading, mut writing) = TcpStream::connect(address).await.unwrap().into_split();
            let bytes: Vec<u8> = requests.iter().flat_map(|content| frame(content)).collect();
            let writer = tokio::spawn(async move {
                writing.write_all(&bytes).await.unwrap();
                writing
            });
            for expected in &requests {
                let mut content = vec![0; reading.read_i32().await.unwrap() as usize];
                reading.read_exact(&mut content).await.unwrap();
                assert!(content == *expected, "a request of {} bytes", expected.len());
            }
            writer.await.unwrap();
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    while memory.used() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_requests_are_answered_whatever_others_send() {
    many_large_requests(-1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_requests_are_answered_where_memory_is_short() {
    many_large_requests(4_000_000).await;
}

#[tokio::test]
async fn large_requests_are_answered_by_a_single_thread() {
    many_large_requests(-1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn others_are_served_while_a_large_request_is() {
    let service = Echo::default();
    let (_running, _, address) = start_with(service.clone(), 20_000_000, 0);
    let mut large = TcpStream::connect(address).await.unwrap();
    let mut content = b"busy".to_vec();
    content.resize(5_000_000, 7);
    let sent = frame(&content);
    let large = tokio::spawn(async move {
        large.write_all(&sent).await.unwrap();
        read_frame(&mut large).await
    });
    while !service.is_busy.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The only thread is kept by the large request.
    let mut small = TcpStream::connect(address).await.unwrap();
    small.write_all(&frame(b"small")).await.unwrap();
    assert_eq!(read_frame(&mut small).await, b"small");
    assert!(!large.is_finished());
    service.is_released.store(true, Ordering::SeqCst);
    assert!(large.await.unwrap() == content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_sends_many_requests_at_once_does_not_keep_the_thread() {
    const MANY: usize = 5000;
    let service = Echo::default();
    let (_running, _, address) = start_with(service.clone(), 20_000_000, 0);
    // From here on with calls that wait, for the runtime's only thread is busy.
    let connect = || std::net::TcpStream::connect(address).unwrap();
    let read = |stream: &mut std::net::TcpStream| {
        let mut size = [0; 4];
        stream.read_exact(&mut size).unwrap();
        let mut content = vec![0; i32::from_be_bytes(size) as usize];
        stream.read_exact(&mut content).unwrap();
        content
    };
    let (mut many, mut one) = (connect(), connect());
    // After this the buffer has room for all the others.
    many.write_all(&frame(&[1; 1_000_000])).unwrap();
    assert_eq!(read(&mut many).len(), 1_000_000);
    one.write_all(&frame(b"here")).unwrap();
    assert_eq!(read(&mut one), b"here");
    let mut sent = frame(b"busy");
    sent.extend(frame(b"me").repeat(MANY));
    many.write_all(&sent).unwrap();
    while !service.is_busy.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    one.write_all(&frame(b"count")).unwrap();
    service.is_released.store(true, Ordering::SeqCst);
    let served: usize = String::from_utf8(read(&mut one)).unwrap().parse().unwrap();
    assert!(served < MANY / 5, "only after {served} requests of somebody else");
    assert_eq!(read(&mut many), b"busy");
    for _ in 0..MANY {
        assert_eq!(read(&mut many), b"me");
    }
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
async fn connections_leave_descriptors_for_files() {
    let (_running, _, address) = serve(Echo::default(), ListenerConfig { descriptors: 0, ..config() });
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0, "refused, without an answer");
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
