//! Every message, record and header of Kafka's wire and logs, record batches, and compression.
