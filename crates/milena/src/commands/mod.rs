//! One file per command.

mod broker_api_versions;
mod client_entities;
mod client_metrics;
mod client_tool;
mod cluster;
mod completion;
mod configs;
mod console_consumer;
mod console_deserializer;
mod console_formatter;
mod console_line_reader;
mod console_producer;
mod consumer_groups;
mod consumer_perf_test;
mod date_time;
mod delete_records;
mod dump_log;
mod e2e_latency;
mod features;
mod get_offsets;
mod group_tool;
mod groups;
mod install_tools;
mod java_text;
mod json_event;
mod json_file;
mod leader_election;
mod log_compaction_tester;
mod log_dirs;
mod metadata_quorum;
mod metadata_shell;
mod producer_perf_test;
mod reassign_partitions;
mod replica_verification;
mod server_start;
mod server_stop;
mod storage;
mod streams_groups;
mod topics;
mod topics_describe;
mod verifiable_consumer;
mod verifiable_producer;

use std::process::ExitCode;

use clap::Subcommand;

use crate::deferred::Deferred;

/// What the program can do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a broker (kafka-server-start.sh)
    ServerStart(Deferred<server_start::Arguments>),
    /// Stop the brokers of this machine that were started with server-start (kafka-server-stop.sh)
    ServerStop(Deferred<server_stop::Arguments>),
    /// Format and inspect log directories (kafka-storage.sh)
    Storage(Deferred<storage::Arguments>),
    /// Create, delete, describe, list or change topics (kafka-topics.sh)
    Topics(Deferred<topics::Arguments>),
    /// Produce lines of standard input (kafka-console-producer.sh)
    ConsoleProducer(Deferred<console_producer::Arguments>),
    /// Consume records and print them (kafka-console-consumer.sh)
    ConsoleConsumer(Deferred<console_consumer::Arguments>),
    /// List and describe consumer groups, delete them, and see to their offsets (kafka-consumer-groups.sh)
    ConsumerGroups(Deferred<consumer_groups::Arguments>),
    /// List and describe streams groups, delete them, and see to their offsets and internal topics (kafka-streams-groups.sh)
    StreamsGroups(Deferred<streams_groups::Arguments>),
    /// List groups of all types (kafka-groups.sh)
    Groups(Deferred<groups::Arguments>),
    /// Describe the quorum of controllers, and change its voters (kafka-metadata-quorum.sh)
    MetadataQuorum(Deferred<metadata_quorum::Arguments>),
    /// Print the offsets of partitions (kafka-get-offsets.sh)
    GetOffsets(Deferred<get_offsets::Arguments>),
    /// Delete the first records of partitions (kafka-delete-records.sh)
    DeleteRecords(Deferred<delete_records::Arguments>),
    /// Show which versions of which APIs the brokers speak (kafka-broker-api-versions.sh)
    BrokerApiVersions(Deferred<broker_api_versions::Arguments>),
    /// Show and change configurations (kafka-configs.sh)
    Configs(Deferred<configs::Arguments>),
    /// Show the log directories of brokers (kafka-log-dirs.sh)
    LogDirs(Deferred<log_dirs::Arguments>),
    /// Elect leaders of partitions (kafka-leader-election.sh)
    LeaderElection(Deferred<leader_election::Arguments>),
    /// Move partitions to other brokers, and replicas to other log directories (kafka-reassign-partitions.sh)
    ReassignPartitions(Deferred<reassign_partitions::Arguments>),
    /// Compare what the replicas of partitions have (kafka-replica-verification.sh)
    ReplicaVerification(Deferred<replica_verification::Arguments>),
    /// Show a cluster's id and endpoints, and take brokers out of it (kafka-cluster.sh)
    Cluster(Deferred<cluster::Arguments>),
    /// Show and change the levels of features (kafka-features.sh)
    Features(Deferred<features::Arguments>),
    /// See to the subscriptions of clients' metrics (kafka-client-metrics.sh)
    ClientMetrics(Deferred<client_metrics::Arguments>),
    /// Test that compacted topics keep the last value of each key
    LogCompactionTester(Deferred<log_compaction_tester::Arguments>),
    /// Show what is in segments, indexes and snapshots (kafka-dump-log.sh)
    DumpLog(Deferred<dump_log::Arguments>),
    /// Measure how fast records can be produced (kafka-producer-perf-test.sh)
    ProducerPerfTest(Deferred<producer_perf_test::Arguments>),
    /// Measure how fast records can be consumed (kafka-consumer-perf-test.sh)
    ConsumerPerfTest(Deferred<consumer_perf_test::Arguments>),
    /// Measure the time from a producer to a consumer (kafka-e2e-latency.sh)
    E2eLatency(Deferred<e2e_latency::Arguments>),
    /// Produce rising numbers, with a line of JSON for each (kafka-verifiable-producer.sh)
    VerifiableProducer(Deferred<verifiable_producer::Arguments>),
    /// Consume in a group, with a line of JSON for what happens (kafka-verifiable-consumer.sh)
    VerifiableConsumer(Deferred<verifiable_consumer::Arguments>),
    /// Look into a snapshot, or the log, of the metadata (kafka-metadata-shell.sh)
    MetadataShell(Deferred<metadata_shell::Arguments>),
    /// Print what a shell needs to complete commands and flags
    Completion(Deferred<completion::Arguments>),
    /// Link the tools' usual names, kafka-topics.sh and kafka-topics and so on, to this program
    InstallTools(Deferred<install_tools::Arguments>),
}

/// Runs a command to its end.
pub(crate) fn run(command: Command) -> ExitCode {
    match command {
        Command::ServerStart(Deferred(arguments)) => server_start::run(arguments),
        Command::ServerStop(Deferred(arguments)) => server_stop::run(arguments),
        Command::Storage(Deferred(arguments)) => storage::run(arguments),
        Command::Topics(Deferred(arguments)) => topics::run(arguments),
        Command::ConsoleProducer(Deferred(arguments)) => console_producer::run(arguments),
        Command::ConsoleConsumer(Deferred(arguments)) => console_consumer::run(arguments),
        Command::ConsumerGroups(Deferred(arguments)) => consumer_groups::run(arguments),
        Command::StreamsGroups(Deferred(arguments)) => streams_groups::run(arguments),
        Command::Groups(Deferred(arguments)) => groups::run(arguments),
        Command::MetadataQuorum(Deferred(arguments)) => metadata_quorum::run(arguments),
        Command::GetOffsets(Deferred(arguments)) => get_offsets::run(arguments),
        Command::DeleteRecords(Deferred(arguments)) => delete_records::run(arguments),
        Command::BrokerApiVersions(Deferred(arguments)) => broker_api_versions::run(arguments),
        Command::Configs(Deferred(arguments)) => configs::run(arguments),
        Command::LogDirs(Deferred(arguments)) => log_dirs::run(arguments),
        Command::LeaderElection(Deferred(arguments)) => leader_election::run(arguments),
        Command::ReassignPartitions(Deferred(arguments)) => reassign_partitions::run(arguments),
        Command::ReplicaVerification(Deferred(arguments)) => replica_verification::run(arguments),
        Command::Cluster(Deferred(arguments)) => cluster::run(arguments),
        Command::Features(Deferred(arguments)) => features::run(arguments),
        Command::ClientMetrics(Deferred(arguments)) => client_metrics::run(arguments),
        Command::LogCompactionTester(Deferred(arguments)) => log_compaction_tester::run(arguments),
        Command::DumpLog(Deferred(arguments)) => dump_log::run(arguments),
        Command::ProducerPerfTest(Deferred(arguments)) => producer_perf_test::run(arguments),
        Command::ConsumerPerfTest(Deferred(arguments)) => consumer_perf_test::run(arguments),
        Command::E2eLatency(Deferred(arguments)) => e2e_latency::run(arguments),
        Command::VerifiableProducer(Deferred(arguments)) => verifiable_producer::run(arguments),
        Command::VerifiableConsumer(Deferred(arguments)) => verifiable_consumer::run(arguments),
        Command::MetadataShell(Deferred(arguments)) => metadata_shell::run(arguments),
        Command::Completion(Deferred(arguments)) => completion::run(arguments),
        Command::InstallTools(Deferred(arguments)) => install_tools::run(arguments),
    }
}
