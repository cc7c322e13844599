//! Typed views of the broker's keys, by area. Units are in the names.

use crate::view::view;

view! {
    /// Sockets, connections and request limits.
    NetworkConfig {
        num_network_threads: i32 = "num.network.threads",
        num_io_threads: i32 = "num.io.threads",
        background_threads: i32 = "background.threads",
        queued_max_requests: i32 = "queued.max.requests",
        queued_max_request_bytes: i64 = "queued.max.request.bytes",
        socket_send_buffer_bytes: i32 = "socket.send.buffer.bytes",
        socket_receive_buffer_bytes: i32 = "socket.receive.buffer.bytes",
        socket_request_max_bytes: i32 = "socket.request.max.bytes",
        socket_listen_backlog_size: i32 = "socket.listen.backlog.size",
        max_connections: i32 = "max.connections",
        max_connections_per_ip: i32 = "max.connections.per.ip",
        max_connection_creation_rate: i32 = "max.connection.creation.rate",
        connections_max_idle_ms: i64 = "connections.max.idle.ms",
        request_timeout_ms: i32 = "request.timeout.ms",
        max_request_partition_size_limit: i32 = "max.request.partition.size.limit",
        telemetry_max_bytes: i32 = "telemetry.max.bytes",
    }
}

view! {
    /// The quorum's timing, and the life of brokers in it.
    QuorumConfig {
        election_timeout_ms: i32 = "controller.quorum.election.timeout.ms",
        fetch_timeout_ms: i32 = "controller.quorum.fetch.timeout.ms",
        election_backoff_max_ms: i32 = "controller.quorum.election.backoff.max.ms",
        append_linger_ms: i32 = "controller.quorum.append.linger.ms",
        request_timeout_ms: i32 = "controller.quorum.request.timeout.ms",
        retry_backoff_ms: i32 = "controller.quorum.retry.backoff.ms",
        fetch_max_bytes: i32 = "controller.quorum.fetch.max.bytes",
        fetch_snapshot_max_bytes: i32 = "controller.quorum.fetch.snapshot.max.bytes",
        auto_join_enable: bool = "controller.quorum.auto.join.enable",
        broker_heartbeat_interval_ms: i32 = "broker.heartbeat.interval.ms",
        broker_session_timeout_ms: i32 = "broker.session.timeout.ms",
        initial_broker_registration_timeout_ms: i32 = "initial.broker.registration.timeout.ms",
        unstable_feature_versions_enable: bool = "unstable.feature.versions.enable",
        unstable_api_versions_enable: bool = "unstable.api.versions.enable",
    }
}

view! {
    /// The metadata log and its snapshots.
    MetadataLogConfig {
        segment_bytes: i32 = "metadata.log.segment.bytes",
        internal_segment_bytes: Option<i32> = "internal.metadata.log.segment.bytes",
        segment_ms: i64 = "metadata.log.segment.ms",
        max_retention_bytes: i64 = "metadata.max.retention.bytes",
        max_retention_ms: i64 = "metadata.max.retention.ms",
        max_record_bytes_between_snapshots: i64 = "metadata.log.max.record.bytes.between.snapshots",
        max_snapshot_interval_ms: i64 = "metadata.log.max.snapshot.interval.ms",
        max_idle_interval_ms: i32 = "metadata.max.idle.interval.ms",
        max_batch_size_bytes: i32 = "internal.metadata.max.batch.size.in.bytes",
        delete_delay_ms: i64 = "internal.metadata.delete.delay.millis",
    }
}

view! {
    /// What the log manager does by itself. The log's own settings are in [`crate::TopicConfig`].
    LogManagerConfig {
        num_recovery_threads_per_data_dir: i32 = "num.recovery.threads.per.data.dir",
        retention_check_interval_ms: i64 = "log.retention.check.interval.ms",
        flush_scheduler_interval_ms: i64 = "log.flush.scheduler.interval.ms",
        flush_offset_checkpoint_interval_ms: i32 = "log.flush.offset.checkpoint.interval.ms",
        flush_start_offset_checkpoint_interval_ms: i32 = "log.flush.start.offset.checkpoint.interval.ms",
        initial_task_delay_ms: i64 = "log.initial.task.delay.ms",
        dir_failure_timeout_ms: i64 = "log.dir.failure.timeout.ms",
        producer_id_expiration_ms: i32 = "producer.id.expiration.ms",
        producer_id_expiration_check_interval_ms: i32 = "producer.id.expiration.check.interval.ms",
    }
}

view! {
    /// The log cleaner. What follows from a topic's settings is in [`crate::TopicConfig`].
    CleanerConfig {
        enable: bool = "log.cleaner.enable",
        threads: i32 = "log.cleaner.threads",
        dedupe_buffer_size: i64 = "log.cleaner.dedupe.buffer.size",
        io_buffer_load_factor: f64 = "log.cleaner.io.buffer.load.factor",
        io_buffer_size: i32 = "log.cleaner.io.buffer.size",
        io_max_bytes_per_second: f64 = "log.cleaner.io.max.bytes.per.second",
        backoff_ms: i64 = "log.cleaner.backoff.ms",
    }
}

view! {
    /// Creation of topics, replication, leadership and fetching.
    ReplicationConfig {
        auto_create_topics_enable: bool = "auto.create.topics.enable",
        delete_topic_enable: bool = "delete.topic.enable",
        num_partitions: i32 = "num.partitions",
        default_replication_factor: i32 = "default.replication.factor",
        auto_leader_rebalance_enable: bool = "auto.leader.rebalance.enable",
        leader_imbalance_check_interval_seconds: i64 = "leader.imbalance.check.interval.seconds",
        unclean_leader_election_interval_ms: i64 = "unclean.leader.election.interval.ms",
        controller_socket_timeout_ms: i32 = "controller.socket.timeout.ms",
        replica_lag_time_max_ms: i64 = "replica.lag.time.max.ms",
        num_replica_fetchers: i32 = "num.replica.fetchers",
        num_replica_alter_log_dirs_threads: Option<i32> = "num.replica.alter.log.dirs.threads",
        replica_fetch_backoff_ms: i32 = "replica.fetch.backoff.ms",
        replica_fetch_max_bytes: i32 = "replica.fetch.max.bytes",
        replica_fetch_min_bytes: i32 = "replica.fetch.min.bytes",
        replica_fetch_response_max_bytes: i32 = "replica.fetch.response.max.bytes",
        replica_fetch_wait_max_ms: i32 = "replica.fetch.wait.max.ms",
        replica_socket_receive_buffer_bytes: i32 = "replica.socket.receive.buffer.bytes",
        replica_socket_timeout_ms: i32 = "replica.socket.timeout.ms",
        replica_high_watermark_checkpoint_interval_ms: i64 = "replica.high.watermark.checkpoint.interval.ms",
        fetch_max_bytes: i32 = "fetch.max.bytes",
        max_incremental_fetch_session_cache_slots: i32 = "max.incremental.fetch.session.cache.slots",
        controlled_shutdown_enable: bool = "controlled.shutdown.enable",
    }
}

view! {
    /// The group coordinator: classic, consumer and streams groups, and committed offsets.
    GroupCoordinatorConfig {
        num_threads: i32 = "group.coordinator.threads",
        append_linger_ms: i32 = "group.coordinator.append.linger.ms",
        min_session_timeout_ms: i32 = "group.min.session.timeout.ms",
        max_session_timeout_ms: i32 = "group.max.session.timeout.ms",
        initial_rebalance_delay_ms: i32 = "group.initial.rebalance.delay.ms",
        max_size: i32 = "group.max.size",
        consumer_session_timeout_ms: i32 = "group.consumer.session.timeout.ms",
        consumer_heartbeat_interval_ms: i32 = "group.consumer.heartbeat.interval.ms",
        consumer_assignment_interval_ms: i32 = "group.consumer.assignment.interval.ms",
        consumer_max_size: i32 = "group.consumer.max.size",
        consumer_assignors: Vec<String> = "group.consumer.assignors",
        consumer_migration_policy: String = "group.consumer.migration.policy",
        consumer_regex_refresh_interval_ms: i32 = "group.consumer.regex.refresh.interval.ms",
        streams_session_timeout_ms: i32 = "group.streams.session.timeout.ms",
        streams_heartbeat_interval_ms: i32 = "group.streams.heartbeat.interval.ms",
        streams_assignment_interval_ms: i32 = "group.streams.assignment.interval.ms",
        streams_initial_rebalance_delay_ms: i32 = "group.streams.initial.rebalance.delay.ms",
        streams_task_offset_interval_ms: i32 = "group.streams.task.offset.interval.ms",
        streams_acceptable_recovery_lag: i64 = "group.streams.acceptable.recovery.lag",
        streams_num_standby_replicas: i32 = "group.streams.num.standby.replicas",
        streams_rack_aware_assignment_tags: Vec<String> = "group.streams.rack.aware.assignment.tags",
        streams_max_size: i32 = "group.streams.max.size",
        streams_assignors: Vec<String> = "group.streams.assignors",
        offset_metadata_max_bytes: i32 = "offset.metadata.max.bytes",
        offsets_load_buffer_size: i32 = "offsets.load.buffer.size",
        offsets_topic_replication_factor: i16 = "offsets.topic.replication.factor",
        offsets_topic_num_partitions: i32 = "offsets.topic.num.partitions",
        offsets_topic_segment_bytes: i32 = "offsets.topic.segment.bytes",
        offsets_topic_compression_codec: i32 = "offsets.topic.compression.codec",
        offsets_retention_minutes: i32 = "offsets.retention.minutes",
        offsets_retention_check_interval_ms: i64 = "offsets.retention.check.interval.ms",
        offsets_commit_timeout_ms: i32 = "offsets.commit.timeout.ms",
    }
}

view! {
    /// Transactions and their topic.
    TransactionConfig {
        state_log_num_partitions: i32 = "transaction.state.log.num.partitions",
        state_log_replication_factor: i16 = "transaction.state.log.replication.factor",
        state_log_min_isr: i32 = "transaction.state.log.min.isr",
        state_log_segment_bytes: i32 = "transaction.state.log.segment.bytes",
        state_log_load_buffer_size: i32 = "transaction.state.log.load.buffer.size",
        max_timeout_ms: i32 = "transaction.max.timeout.ms",
        transactional_id_expiration_ms: i32 = "transactional.id.expiration.ms",
        partition_verification_enable: bool = "transaction.partition.verification.enable",
        two_phase_commit_enable: bool = "transaction.two.phase.commit.enable",
    }
}

view! {
    /// The share coordinator's topic.
    ShareCoordinatorConfig {
        state_topic_num_partitions: i32 = "share.coordinator.state.topic.num.partitions",
        state_topic_replication_factor: i16 = "share.coordinator.state.topic.replication.factor",
        state_topic_min_isr: i16 = "share.coordinator.state.topic.min.isr",
        state_topic_segment_bytes: i32 = "share.coordinator.state.topic.segment.bytes",
        state_topic_compression_codec: i32 = "share.coordinator.state.topic.compression.codec",
    }
}
