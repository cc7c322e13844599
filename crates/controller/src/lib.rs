//! The quorum controller.
