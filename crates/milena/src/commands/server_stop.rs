//! `milena server-stop`: SIGTERM to the brokers of this machine.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use config::{BrokerConfig, Environment, Properties};
use rustix::process::{Pid, Signal, kill_process};

use crate::report::failure;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only processes with this role: broker or controller
    #[arg(long, value_name = "role")]
    process_role: Option<String>,
    /// Only the process with this node.id
    #[arg(long, value_name = "id")]
    node_id: Option<i32>,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if let Some(role) =
        arguments.process_role.as_deref().filter(|role| !matches!(*role, "broker" | "controller"))
    {
        return failure(format_args!("Invalid process-role: {role}. It must be broker or controller."));
    }
    let running = brokers();
    if running.is_empty() {
        return failure("No kafka server to stop");
    }
    let mut stopped = 0;
    for broker in running.iter().filter(|broker| broker.matches(&arguments)) {
        match kill_process(broker.pid, Signal::TERM) {
            Ok(()) => {
                println!("stopping process {}", broker.pid.as_raw_nonzero());
                stopped += 1;
            }
            Err(error) => {
                return failure(format_args!(
                    "process {} cannot be stopped: {error}",
                    broker.pid.as_raw_nonzero()
                ));
            }
        }
    }
    if stopped == 0 { failure("No kafka server with these properties to stop") } else { ExitCode::SUCCESS }
}

struct Broker {
    pid: Pid,
    file: Option<PathBuf>,
}

impl Broker {
    /// Whether its configuration is what the arguments ask for; one that cannot be read is left alone.
    fn matches(&self, arguments: &Arguments) -> bool {
        if arguments.node_id.is_none() && arguments.process_role.is_none() {
            return true;
        }
        let properties = match &self.file {
            Some(file) => Properties::read(file),
            None => Ok(Properties::none()),
        };
        let config = properties
            .and_then(|properties| BrokerConfig::from_properties(&properties, Environment::default()));
        let Ok((config, _)) = config else { return false };
        let role = match arguments.process_role.as_deref() {
            Some("broker") => config.process_roles.broker,
            Some(_) => config.process_roles.controller,
            None => true,
        };
        role && arguments.node_id.is_none_or(|id| id == config.node_id)
    }
}

/// The processes that run this program as a broker.
fn brokers() -> Vec<Broker> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            broker(pid, &entry.path())
        })
        .collect()
}

fn broker(pid: Pid, process: &Path) -> Option<Broker> {
    let line = std::fs::read(process.join("cmdline")).ok()?;
    let mut words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let program = words.next()?;
    let name = Path::new(&program).file_name()?.to_str()?.to_owned();
    let mut words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
    match name.as_str() {
        "milena" if words.first().is_some_and(|word| word == "server-start") => drop(words.remove(0)),
        "kafka-server-start" | "kafka-server-start.sh" => {}
        _ => return None,
    }
    let directory = std::fs::read_link(process.join("cwd")).ok()?;
    let file = words
        .into_iter()
        .find(|word| !word.starts_with('-') && !word.contains('='))
        .map(|file| directory.join(file));
    Some(Broker { pid, file })
}
