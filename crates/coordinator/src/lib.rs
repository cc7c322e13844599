//! The runtime that coordinators share.
