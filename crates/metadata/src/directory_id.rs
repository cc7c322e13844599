//! The reserved ids of log directories (`org.apache.kafka.common.DirectoryId`, KIP-858).

use common::Uuid;

/// The replica's directory was chosen before directories had ids, and is not known yet.
pub const MIGRATING: Uuid = Uuid::from_u128(0);
/// The broker has not said yet in which of its directories it keeps the replica.
pub const UNASSIGNED: Uuid = Uuid::from_u128(1);
/// The replica's directory is offline, and the broker does not know which one it was.
pub const LOST: Uuid = Uuid::from_u128(2);

/// Whether a replica in `directory` can serve, given the directories that its broker has online.
///
/// A broker that names no directory at all comes from before KIP-858: nothing is known to be wrong there.
pub fn is_online(directory: Uuid, online: &[Uuid]) -> bool {
    if directory == UNASSIGNED || directory == MIGRATING {
        return true;
    }
    if directory == LOST {
        return false;
    }
    online.is_empty() || online.contains(&directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ids_read_as_kafka_prints_them() {
        assert_eq!(MIGRATING.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(UNASSIGNED.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(LOST.to_string(), "AAAAAAAAAAAAAAAAAAAAAg");
    }

    #[test]
    fn only_a_known_offline_directory_is_offline() {
        let (a, b) = (Uuid::from_u128(1000), Uuid::from_u128(1001));
        assert!(is_online(UNASSIGNED, &[a]));
        assert!(is_online(MIGRATING, &[a]));
        assert!(!is_online(LOST, &[a]));
        assert!(is_online(a, &[a]));
        assert!(!is_online(b, &[a]));
        assert!(is_online(b, &[]));
    }
}
