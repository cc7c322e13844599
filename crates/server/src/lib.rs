//! A milena process: listeners, handlers, the controller's thread, and the life of the broker between them.
//!
//! Only wiring stands here. What a request does is in one file per API under `handlers`; what is decided is in the crates
//! below.

mod alter_log_dirs;
mod apis;
mod assignments;
mod broker;
mod broker_watch;
mod cleaners;
mod client_metrics;
mod clock;
mod committer;
mod connection;
mod controller_channel;
mod controller_requests;
mod controller_server;
mod controller_thread;
mod coordinator_log;
mod error;
mod fetch_session;
mod group_settings;
mod handlers;
mod housekeeping;
mod lifecycle;
mod log_dir_failures;
mod metrics;
mod principal;
mod producer_ids;
mod publisher;
mod replication;
mod request;
mod settings;
mod stalled_disks;
mod start;

pub use error::ServerError;
pub use start::{RunningServer, start};
