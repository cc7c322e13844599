//! What a client may do with a resource, as a set of bits (KIP-430). Without an authorizer that is everything the resource
//! knows.

/// Nobody asked.
pub(crate) const NOT_ASKED: i32 = i32::MIN;

/// Bits by the codes of `AclOperation`: read 3, write 4, create 5, delete 6, alter 7, describe 8, cluster action 9, describe
/// configs 10, alter configs 11, idempotent write 12.
const fn bits(operations: &[u32]) -> i32 {
    let mut set = 0;
    let mut index = 0;
    while index < operations.len() {
        set |= 1 << operations[index];
        index += 1;
    }
    set
}

/// All that can be done with a topic.
pub(crate) const TOPIC: i32 = bits(&[3, 4, 5, 6, 7, 8, 10, 11]);
/// All that can be done with the cluster.
pub(crate) const CLUSTER: i32 = bits(&[5, 7, 8, 9, 10, 11, 12]);
/// All that can be done with a group.
pub(crate) const GROUP: i32 = bits(&[3, 6, 8, 10, 11]);
