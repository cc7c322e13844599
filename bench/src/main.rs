//! Load and measurement: a generator that speaks Kafka's wire with prebuilt frames, a floor server to compare with,
//! and a suite that runs systems in turns. `bench/README.md` says how to read the figures.

mod args;
mod floor;
mod load;
mod measure;
mod suite;
mod wire;

use std::{fmt, io, process::ExitCode};

use args::Args;

/// Why a command could not do its work: a sentence for whoever started it.
#[derive(Debug)]
pub struct Failure(String);

/// What everything here returns that can fail.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure that says `what`.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<wire::Malformed> for Failure {
    fn from(error: wire::Malformed) -> Self {
        Self(error.to_string())
    }
}

const USAGE: &str = "\
bench COMMAND [--flag value]...

  floor        --dir DIR [--port 9092] [--sendfile]
               a server that only parses Produce and Fetch, checks the CRC, patches the base offset, writes once, replies
  produce      [--batch-size 1000000 | --records 1] [--record-size 100] [--in-flight 5] [--connections 1] [--partitions 1]
               [--acks 1] [--requests 500 | --seconds N] [--synced]
  fetch        --topic NAME [--max-bytes 1048576]: everything in partition 0, from its start
  roundtrip    [--in-flight 1] [--record-size 100] [--requests 20000]: one record per request
  e2e          [--rate 1000] [--acks 1] [--records 1] [--record-size 100] [--seconds 10]: open loop, a waiting consumer
  connections  [--count 1000]: connect, ApiVersions, stay idle
  startup      --command 'CMD {dir} {port} {properties}' [--runs 5] [--formats]: exec to first answer, metadata, first ack
  memory       --command 'CMD {dir} {port} {properties}': resident memory idle, and after load
  suite        --milena BINARY [--apache 'CMD {dir} {port}' [--apache-node 'CMD {dir} {properties} {cluster}'] [--apache-tool 'CMD {tool}']] [--system NAME='CMD']... [--speed] [--user --librdkafka PROGRAM] [--groups] [--growth]
               [--recovery] [--cluster] [--codecs] [--hostile [--freeze DIR]] [--tools] [--all] [--minutes N] [--rounds 5] [--quick] [--only WORDS] [--json FILE] [--out DIR] [--dir DIR] [--realtime] [--check]: all of it, the systems in turns

Loads take --server HOST:PORT (127.0.0.1:9092), --topic NAME (made, and deleted afterwards, where none is named) and
--server-pid PID for the server's CPU time. A command is words without quotes; {bench} is this program. One that leaves
its server behind writes the server's process id to {dir}/pid.";

fn main() -> ExitCode {
    let mut args = Args::new(std::env::args().skip(1));
    let command = args.command();
    let done = match command.as_deref() {
        Some("floor") => floor::run(&mut args),
        Some("produce") => load::command::produce(&mut args),
        Some("fetch") => load::command::fetch(&mut args),
        Some("roundtrip") => load::command::roundtrip(&mut args),
        Some("e2e") => load::command::end_to_end(&mut args),
        Some("connections") => load::command::connections(&mut args),
        Some("startup") => suite::command::startup(&mut args),
        Some("memory") => suite::command::memory(&mut args),
        Some("suite") => suite::command::suite(&mut args),
        Some("help" | "--help" | "-h") | None => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some(other) => Err(Failure::new(format!("no command is called {other}; see `bench help`"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench: {failure}");
            ExitCode::FAILURE
        }
    }
}
