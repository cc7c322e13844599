//! What comes with every request.

use common::Uuid;

/// Takes the answer. Called exactly once: at once, or later from another thread, and with a shard's lock held: it may hand
/// the answer over, not call the coordinator.
pub type Reply<T> = Box<dyn FnOnce(T) + Send>;

/// Who asks, and in which version.
#[derive(Clone, Debug, Default)]
pub struct RequestContext {
    /// The version of the request.
    pub api_version: i16,
    /// The client id of the request's header, empty for none.
    pub client_id: String,
    /// The client's address as Java prints one: `/127.0.0.1`.
    pub client_host: String,
}

/// The topics of the cluster, by name and by id.
pub trait TopicResolver {
    /// The name of the topic with this id.
    fn topic_name(&self, id: Uuid) -> Option<String>;

    /// The id of the topic with this name.
    fn topic_id(&self, name: &str) -> Option<Uuid>;

    /// Whether the topic has this partition.
    fn has_partition(&self, name: &str, partition: i32) -> bool;
}

/// A topic that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    /// The id it had.
    pub id: Uuid,
    /// The name it had.
    pub name: String,
}
