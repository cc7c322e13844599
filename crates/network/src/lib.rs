//! Listeners, connections and framing.
