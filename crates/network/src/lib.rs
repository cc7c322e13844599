//! Listeners, connections and framing: bytes in, frames to a [`Service`], bytes and spans of files out; and in [`peer`] the
//! client side of a connection to another node.
//!
//! A connection is one task. It reads into a buffer that it holds only while a request is in it, hands each frame to the
//! service on the thread that read it, and writes the answers in the order of the requests. It knows nothing of what a
//! frame means. Kafka's classes for this are `SocketServer`, `Acceptor`, `Processor` and `ConnectionQuotas`.

mod buffer;
mod cold;
mod connection;
mod large;
mod listener;
mod memory;
mod outbox;
pub mod peer;
mod quota;

pub use buffer::trim as trim_buffers;
pub use connection::{Again, ConnectionInfo, Handled, Later, Service, ServiceConnection};
pub use large::beside_others;
pub use listener::{Listener, ListenerConfig, RunningListener};
pub use memory::RequestMemory;
pub use outbox::Outbox;
pub use quota::{ConnectionLimits, ConnectionQuota};
