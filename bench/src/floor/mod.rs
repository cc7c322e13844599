//! The floor: a server that does nothing but what Produce and Fetch cannot do without. It parses the request, checks
//! the CRC, patches the base offset, writes once and replies. What it costs is what any broker must cost at least.
//!
//! One blocking thread per connection, no configuration, no metadata log, no index files, no recovery: not a broker.

mod admin;
mod connection;
mod handlers;
mod partition;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, RwLock},
    thread,
};

use crate::{Result, args::Args};
use partition::Partition;

/// Stack of a connection's thread: nothing here recurses.
const STACK_SIZE: usize = 128 << 10;

/// One topic: its partitions by their index.
pub struct Topic {
    pub partitions: Vec<Arc<Partition>>,
}

/// What all connections share.
pub struct Floor {
    pub dir: PathBuf,
    pub address: SocketAddr,
    /// Send fetched bytes from the page cache to the socket inside the kernel, instead of by read and write.
    pub sendfile: bool,
    pub topics: RwLock<HashMap<String, Topic>>,
}

impl Floor {
    /// A partition of a topic that exists.
    pub fn partition(&self, topic: &str, index: i32) -> Option<Arc<Partition>> {
        let topics = self.topics.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        topics.get(topic)?.partitions.get(usize::try_from(index).ok()?).cloned()
    }

    /// Creates a topic; whether it is new.
    pub fn create_topic(&self, name: &str, partitions: usize, synced: bool) -> Result<bool> {
        let mut topics = self.topics.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if topics.contains_key(name) {
            return Ok(false);
        }
        let partitions = (0..partitions)
            .map(|index| Partition::create(&self.dir, name, index, synced).map(Arc::new))
            .collect::<Result<_>>()?;
        topics.insert(name.to_owned(), Topic { partitions });
        Ok(true)
    }

    /// Forgets a topic and unlinks its files; whether it was there.
    pub fn delete_topic(&self, name: &str) -> bool {
        let mut topics = self.topics.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        topics.remove(name).is_some()
    }
}

/// `bench floor`: serves until it is stopped.
pub fn run(args: &mut Args) -> Result<()> {
    let dir = PathBuf::from(args.required("--dir")?);
    let port = args.or("--port", 9092)?;
    let sendfile = args.switch("--sendfile");
    args.finish()?;
    std::fs::create_dir_all(&dir)?;
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    serve(&listener, dir, sendfile)
}

/// Accepts connections, each served by a thread of its own.
pub fn serve(listener: &TcpListener, dir: PathBuf, sendfile: bool) -> Result<()> {
    let address = listener.local_addr()?;
    let floor = Arc::new(Floor { dir, address, sendfile, topics: RwLock::default() });
    loop {
        let (stream, _) = listener.accept()?;
        let floor = Arc::clone(&floor);
        thread::Builder::new().stack_size(STACK_SIZE).spawn(move || {
            // A client that goes away is no news; anything else is said once.
            if let Err(failure) = connection::serve(&floor, stream) {
                eprintln!("floor: {failure}");
            }
        })?;
    }
}
