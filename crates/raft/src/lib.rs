//! KRaft.
