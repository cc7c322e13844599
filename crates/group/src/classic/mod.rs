//! Classic groups: the members send what they can do, the coordinator picks a protocol and a leader, the leader assigns.
//!
//! A group goes round: Empty, PreparingRebalance while members join, CompletingRebalance while the leader assigns,
//! Stable. Joins and syncs are answered when the group takes the next step, so their replies are parked in the members.

mod convert;
mod group;
mod heartbeat;
mod join;
mod leave;
mod member;
mod rebalance;
mod state;
mod static_member;
mod stored;
mod sync;

pub(crate) use group::CONSUMER_PROTOCOL_TYPE;
pub use group::{ClassicGroup, ExpiryBase};
pub(crate) use join::FIRST_VERSION_REQUIRING_MEMBER_ID;
pub(crate) use leave::member_response;
pub use member::ClassicGroupMember;
pub use state::ClassicGroupState;
pub(crate) use sync::sync_error;
