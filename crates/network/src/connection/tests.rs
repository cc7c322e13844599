//! One connection.

use super::*;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

/// Answers with the request, and one of a single byte only when it is told to.
struct Echo(Option<tokio::sync::oneshot::Receiver<()>>);

impl ServiceConnection for Echo {
    fn handle(&mut self, frame: &[u8], out: &mut Outbox) -> Handled {
        let answer = frame.to_vec();
        if frame.len() > 1 {
            out.restore(answer);
            return Handled::Done;
        }
        let told = self.0.take().expect("there is one such request");
        Handled::Later(Box::pin(async move {
            let _ = told.await;
            let mut out = Outbox::new();
            out.restore(answer);
            out
        }))
    }
}

#[tokio::test]
async fn who_waits_has_no_buffer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let (tell, told) = tokio::sync::oneshot::channel();
    let served = tokio::spawn(async move {
        let limits = Limits::new(1_000_000, &RequestMemory::new(-1));
        run(&mut stream, Echo(Some(told)), limits, &Activity::default(), || 0).await.unwrap();
    });
    let mut answer = [0; 3];
    for _ in 0..3 {
        client.write_all(&[0, 0, 0, 3, 1, 2, 3]).await.unwrap();
        client.read_exact(&mut answer).await.unwrap();
        while buffer::kept_by_thread() == 0 {
            tokio::task::yield_now().await;
        }
    }
    client.write_all(&[0, 0]).await.unwrap();
    tokio::task::yield_now().await;
    client.write_all(&[0, 1]).await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(buffer::kept_by_thread(), 1, "a part of a request");
    client.write_all(&[7]).await.unwrap();
    tokio::task::yield_now().await;
    while buffer::kept_by_thread() == 0 {
        tokio::task::yield_now().await;
    }
    tell.send(()).unwrap();
    client.read_exact(&mut answer[..1]).await.unwrap();
    assert_eq!(answer[0], 7);
    drop(client);
    served.await.unwrap();
}

/// Serves up to three requests together, and answers with how many they were before each of them.
struct Threes(Arc<parking_lot::Mutex<Vec<usize>>>);

impl ServiceConnection for Threes {
    fn handle(&mut self, frame: &[u8], out: &mut Outbox) -> Handled {
        self.handle_together(&[frame], out).1
    }

    fn handle_together(&mut self, frames: &[&[u8]], out: &mut Outbox) -> (usize, Handled) {
        let frames = &frames[..frames.len().min(3)];
        self.0.lock().push(frames.len());
        let mut bytes = out.take();
        frames.iter().for_each(|frame| bytes.extend_from_slice(frame));
        out.restore(bytes);
        (frames.len(), Handled::Done)
    }
}

#[tokio::test]
async fn requests_at_hand_are_served_together_and_in_order() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut requests = Vec::new();
    // Their sizes go up to some of which few fit into any buffer.
    for (number, size) in
        [1, 3, 10, 100, 2000, 9000, 9000, 20_000, 64_000, 64_000, 140_000, 5, 5].iter().enumerate()
    {
        requests.extend_from_slice(&i32::to_be_bytes(*size));
        requests.extend((0..*size).map(|_| number as u8));
    }
    let expected: Vec<u8> = {
        let (mut rest, mut all) = (&requests[..], Vec::new());
        while let Some((size, behind)) = rest.split_first_chunk::<4>() {
            let (frame, behind) = behind.split_at(i32::from_be_bytes(*size) as usize);
            all.extend_from_slice(frame);
            rest = behind;
        }
        all
    };
    let counts = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let served = Threes(Arc::clone(&counts));
    let serving = tokio::spawn(async move {
        let limits = Limits::new(1_000_000, &RequestMemory::new(-1));
        run(&mut stream, served, limits, &Activity::default(), || 0).await.unwrap();
    });
    let (mut reader, mut writer) = client.split();
    // All at once, and in pieces of which none is a request.
    for piece in [requests.len(), 7777, 401] {
        let mut answers = vec![0; expected.len()];
        let sent = async {
            for piece in requests.chunks(piece) {
                writer.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let (_, read) = tokio::join!(sent, reader.read_exact(&mut answers));
        read.unwrap();
        assert!(answers == expected, "in pieces of {piece}");
    }
    drop(client);
    serving.await.unwrap();
    let counts = counts.lock();
    assert_eq!(counts.iter().sum::<usize>(), 3 * 13);
    assert!(counts.contains(&3) && counts.iter().all(|count| (1..=3).contains(count)), "{counts:?}");
}
