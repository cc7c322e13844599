//! One file per command.

mod client_tool;
mod console_consumer;
mod console_deserializer;
mod console_formatter;
mod console_line_reader;
mod console_producer;
mod consumer_groups;
mod groups;
mod install_tools;
mod metadata_quorum;
mod server_start;
mod server_stop;
mod storage;
mod topics;
mod topics_describe;

use std::process::ExitCode;

use clap::Subcommand;

/// What the program can do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a broker (kafka-server-start.sh)
    ServerStart(server_start::Arguments),
    /// Stop the brokers of this machine that were started with server-start (kafka-server-stop.sh)
    ServerStop(server_stop::Arguments),
    /// Format and inspect log directories (kafka-storage.sh)
    Storage(storage::Arguments),
    /// Create, delete, describe, list or change topics (kafka-topics.sh)
    Topics(topics::Arguments),
    /// Produce lines of standard input (kafka-console-producer.sh)
    ConsoleProducer(console_producer::Arguments),
    /// Consume records and print them (kafka-console-consumer.sh)
    ConsoleConsumer(console_consumer::Arguments),
    /// List and describe consumer groups, delete them, and see to their offsets (kafka-consumer-groups.sh)
    ConsumerGroups(consumer_groups::Arguments),
    /// List groups of all types (kafka-groups.sh)
    Groups(groups::Arguments),
    /// Describe the quorum of controllers, and change its voters (kafka-metadata-quorum.sh)
    MetadataQuorum(metadata_quorum::Arguments),
    /// Link the tools' usual names, kafka-topics.sh and kafka-topics and so on, to this program
    InstallTools(install_tools::Arguments),
}

/// Runs a command to its end.
pub(crate) fn run(command: Command) -> ExitCode {
    match command {
        Command::ServerStart(arguments) => server_start::run(arguments),
        Command::ServerStop(arguments) => server_stop::run(arguments),
        Command::Storage(arguments) => storage::run(arguments),
        Command::Topics(arguments) => topics::run(arguments),
        Command::ConsoleProducer(arguments) => console_producer::run(arguments),
        Command::ConsoleConsumer(arguments) => console_consumer::run(arguments),
        Command::ConsumerGroups(arguments) => consumer_groups::run(arguments),
        Command::Groups(arguments) => groups::run(arguments),
        Command::MetadataQuorum(arguments) => metadata_quorum::run(arguments),
        Command::InstallTools(arguments) => install_tools::run(arguments),
    }
}
