//! `milena metadata-quorum`, which is `kafka-metadata-quorum.sh` (`org.apache.kafka.tools.MetadataQuorumCommand`).

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use client::admin::{QuorumInfo, QuorumReplica, RaftVoterEndpoint};
use client::{Admin, ClientConfig, ClientError};
use common::Uuid;
use config::Properties;
use storage::checkpoint::MetaProperties;

use super::client_tool;
use crate::report::failure;

/// Describe the quorum of controllers, and change its voters
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// The brokers to ask first: HOST:PORT, several with commas [default: localhost:9092]
    #[arg(long, value_name = "BOOTSTRAP_SERVER", conflicts_with = "bootstrap_controller")]
    bootstrap_server: Option<String>,
    /// The controllers to ask first, in place of brokers: HOST:PORT, several with commas
    #[arg(long, value_name = "BOOTSTRAP_CONTROLLER")]
    bootstrap_controller: Option<String>,
    /// Properties for the admin client; for add-controller, those of the controller too
    #[arg(long, value_name = "COMMAND_CONFIG")]
    command_config: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Describe the quorum
    Describe {
        /// A short summary
        #[arg(long)]
        status: bool,
        /// How far each replica is
        #[arg(long)]
        replication: bool,
        /// Times as so many milliseconds ago
        #[arg(long)]
        human_readable: bool,
    },
    /// Make a controller a voter; --command-config is its configuration
    AddController {
        /// Print what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Make a voter one no more
    RemoveController {
        /// Its node.id
        #[arg(long, short = 'i')]
        controller_id: i32,
        /// The directory.id of its metadata log directory
        #[arg(long, short = 'd')]
        controller_directory_id: String,
        /// Print what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    client_tool::run(1, async move {
        match arguments.execute().await {
            Ok(text) => {
                print!("{text}");
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => Ok(failure(error)),
        }
    })
}

impl Arguments {
    fn admin(&self) -> Result<Admin, String> {
        let mut config = ClientConfig::new("");
        // The properties of a controller are in the same file: what is no client's is not for the client.
        for (key, value) in client_tool::entries(self.command_config.as_deref(), &[])? {
            config.set(&key, &value).map_err(|error| error.to_string())?;
        }
        if let Some(controllers) = &self.bootstrap_controller {
            config.bootstrap_servers.clone_from(controllers);
            return Ok(Admin::for_controllers(config));
        }
        config.bootstrap_servers =
            self.bootstrap_server.clone().unwrap_or_else(|| "localhost:9092".to_owned());
        Ok(Admin::new(config))
    }

    async fn execute(&self) -> Result<String, String> {
        let failed = |error: ClientError| client_tool::failed_future(&error);
        match &self.action {
            Action::Describe { status: true, replication: true, .. } => {
                Err("Only one of --status or --replication should be specified with describe sub-command"
                    .to_owned())
            }
            Action::Describe { status: false, replication: false, .. } => {
                Err("One of --status or --replication must be specified with describe sub-command".to_owned())
            }
            Action::Describe { status: true, human_readable: true, .. } => {
                Err("The option --human-readable is only supported along with --replication".to_owned())
            }
            Action::Describe { status: true, .. } => {
                Ok(status(&self.admin()?.describe_metadata_quorum().await.map_err(failed)?))
            }
            Action::Describe { human_readable, .. } => {
                let quorum = self.admin()?.describe_metadata_quorum().await.map_err(failed)?;
                replication(&quorum, human_readable.then(now_ms))
            }
            Action::AddController { dry_run } => {
                let file = self.command_config.as_deref().ok_or(
                    "You must supply the configuration file of the controller you are adding when using \
                     add-controller.",
                )?;
                let controller = Controller::read(file)?;
                if !dry_run {
                    let admin = self.admin()?;
                    let Controller { id, directory_id, endpoints } = &controller;
                    admin.add_raft_voter(*id, *directory_id, endpoints).await.map_err(failed)?;
                }
                let doing = if *dry_run { "DRY RUN of adding" } else { "Added" };
                let endpoints: Vec<String> = controller.endpoints.iter().map(endpoint).collect();
                Ok(format!(
                    "{doing} controller {} with directory id {} and endpoints: {}\n",
                    controller.id,
                    controller.directory_id,
                    endpoints.join(", ")
                ))
            }
            Action::RemoveController { controller_id, controller_directory_id, dry_run } => {
                if *controller_id < 0 {
                    return Err(format!("Invalid negative --controller-id: {controller_id}"));
                }
                let directory_id: Uuid = controller_directory_id
                    .parse()
                    .map_err(|error| format!("Failed to parse --controller-directory-id: {error}"))?;
                if !dry_run {
                    self.admin()?.remove_raft_voter(*controller_id, directory_id).await.map_err(failed)?;
                }
                // Two spaces: so Kafka's tool prints it.
                let doing = if *dry_run { "DRY RUN of removing " } else { "Removed " };
                Ok(format!("{doing} KRaft controller {controller_id} with directory id {directory_id}\n"))
            }
        }
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

fn endpoint(endpoint: &RaftVoterEndpoint) -> String {
    let RaftVoterEndpoint { listener, host, port } = endpoint;
    if host.contains(':') {
        format!("{listener}://[{host}]:{port}")
    } else {
        format!("{listener}://{host}:{port}")
    }
}

fn status(quorum: &QuorumInfo) -> String {
    let leader = quorum.voters.iter().find(|voter| voter.id == quorum.leader_id);
    let slowest = quorum.voters.iter().min_by_key(|voter| voter.log_end_offset);
    let (mut lag, mut lag_ms) = (0, 0);
    if let (Some(leader), Some(slowest)) = (leader, slowest)
        && leader.id != slowest.id
    {
        lag = leader.log_end_offset - slowest.log_end_offset;
        let times = (leader.last_caught_up_timestamp_ms, slowest.last_caught_up_timestamp_ms);
        lag_ms = if let (Some(leader), Some(slowest)) = times { leader - slowest } else { -1 };
    }
    format!(
        "ClusterId:              {}\nLeaderId:               {}\nLeaderEpoch:            {}\nHighWatermark:          {}\n\
         MaxFollowerLag:         {lag}\nMaxFollowerLagTimeMs:   {lag_ms}\nCurrentVoters:          {}\n\
         CurrentObservers:       {}\n",
        quorum.cluster_id,
        quorum.leader_id,
        quorum.leader_epoch,
        quorum.high_watermark,
        replicas(&quorum.voters),
        replicas(&quorum.observers),
    )
}

fn replicas(replicas: &[QuorumReplica]) -> String {
    let text = |replica: &QuorumReplica| {
        let mut text = format!("{{\"id\": {}", replica.id);
        if !replica.directory_id.is_zero() {
            text.push_str(&format!(", \"directoryId\": \"{}\"", replica.directory_id));
        }
        if !replica.endpoints.is_empty() {
            let endpoints: Vec<String> =
                replica.endpoints.iter().map(|at| format!("\"{}\"", endpoint(at))).collect();
            text.push_str(&format!(", \"endpoints\": [{}]", endpoints.join(", ")));
        }
        text + "}"
    };
    let texts: Vec<String> = replicas.iter().map(text).collect();
    format!("[{}]", texts.join(", "))
}

/// `now_ms`: times are printed as so long before then.
fn replication(quorum: &QuorumInfo, now_ms: Option<i64>) -> Result<String, String> {
    let leader = quorum.voters.iter().find(|voter| voter.id == quorum.leader_id);
    let leader = leader.ok_or("the leader of the quorum is none of its voters")?;
    let time = |time_ms: Option<i64>, what: &str| match (time_ms, now_ms) {
        (None, _) => Ok("-1".to_owned()),
        (Some(time_ms), None) => Ok(time_ms.to_string()),
        (Some(time_ms), Some(now_ms)) if time_ms > 0 && time_ms <= now_ms => {
            Ok(format!("{} ms ago", now_ms - time_ms))
        }
        (Some(time_ms), Some(now_ms)) => Err(format!(
            "Error while computing relative time, possible drift in system clock.\nCurrent timestamp is {now_ms}, {what} \
             timestamp is {time_ms}"
        )),
    };
    let row = |replica: &QuorumReplica, status: &str| {
        Ok([
            replica.id.to_string(),
            replica.directory_id.to_string(),
            replica.log_end_offset.to_string(),
            (leader.log_end_offset - replica.log_end_offset).to_string(),
            time(replica.last_fetch_timestamp_ms, "last fetch")?,
            time(replica.last_caught_up_timestamp_ms, "last caught up")?,
            status.to_owned(),
        ])
    };
    let headers = [
        "NodeId",
        "DirectoryId",
        "LogEndOffset",
        "Lag",
        "LastFetchTimestamp",
        "LastCaughtUpTimestamp",
        "Status",
    ];
    let mut rows: Vec<Result<[String; 7], String>> =
        vec![Ok(headers.map(str::to_owned)), row(leader, "Leader")];
    let followers = quorum.voters.iter().filter(|voter| voter.id != quorum.leader_id);
    rows.extend(followers.map(|voter| row(voter, "Follower")));
    rows.extend(quorum.observers.iter().map(|observer| row(observer, "Observer")));
    let rows = rows.into_iter().collect::<Result<Vec<_>, String>>()?;
    let widths: Vec<usize> = (0..headers.len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let line = |row: &[String; 7]| -> String {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}\t"));
        cells.collect::<String>() + "\n"
    };
    Ok(rows.iter().map(line).collect())
}

/// What the configuration of a controller says of it.
struct Controller {
    id: i32,
    directory_id: Uuid,
    endpoints: Vec<RaftVoterEndpoint>,
}

impl Controller {
    fn read(file: &std::path::Path) -> Result<Controller, String> {
        let properties = Properties::read(file).map_err(|error| error.to_string())?;
        let value = |key: &str| {
            let entry = properties.iter().filter(|entry| entry.name == key).last();
            entry.map(|entry| entry.value.trim().to_owned())
        };
        let hint = "configuration file. Is this a valid controller configuration file?";
        let id = value("node.id").ok_or(format!("node.id not found in {hint}"))?;
        let id: i32 = id.parse().map_err(|_| format!("node.id is no number in {hint}"))?;
        if id < 0 {
            return Err(format!("node.id was negative in {hint}"));
        }
        if !value("process.roles").unwrap_or_default().contains("controller") {
            return Err(format!("process.roles did not contain 'controller' in {hint}"));
        }
        let log_dirs = || value("log.dirs").and_then(|dirs| Some(dirs.split(',').next()?.trim().to_owned()));
        let directory = value("metadata.log.dir").or_else(log_dirs).ok_or(
            "Neither metadata.log.dir nor log.dirs were found. Is this a valid controller configuration file?",
        )?;
        let meta =
            MetaProperties::read(std::path::Path::new(&directory)).map_err(|error| error.to_string())?;
        let meta = meta.ok_or(format!("Unable to read meta.properties from {directory}"))?;
        let directory_id = meta.directory_id.ok_or(format!("No directory id found in {directory}"))?;
        Ok(Controller { id, directory_id, endpoints: endpoints(&value)? })
    }
}

/// The controller's listeners; what is advertised counts more than what is bound.
fn endpoints(value: &dyn Fn(&str) -> Option<String>) -> Result<Vec<RaftVoterEndpoint>, String> {
    let mut known: Vec<RaftVoterEndpoint> = Vec::new();
    for key in ["advertised.listeners", "listeners"] {
        for text in value(key).unwrap_or_default().split(',').map(str::trim).filter(|text| !text.is_empty()) {
            known.push(parse_endpoint(text).ok_or(format!("Unable to parse {text} to an endpoint"))?);
        }
    }
    let names = value("controller.listener.names")
        .ok_or("controller.listener.names was not found. Is this a valid controller configuration file?")?;
    let found = names.split(',').map(|name| {
        let name = name.trim().to_uppercase();
        let endpoint = known.iter().find(|endpoint| endpoint.listener == name);
        endpoint.cloned().ok_or(format!("Cannot find information about controller listener name: {name}"))
    });
    found.collect()
}

fn parse_endpoint(text: &str) -> Option<RaftVoterEndpoint> {
    let (listener, address) = text.split_once("://")?;
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { "localhost" } else { host };
    Some(RaftVoterEndpoint {
        listener: listener.to_uppercase(),
        host: host.to_owned(),
        port: port.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(id: i32, log_end_offset: i64, caught_up_ms: Option<i64>) -> QuorumReplica {
        QuorumReplica {
            id,
            directory_id: Uuid::from_u128(id as u128),
            log_end_offset,
            last_fetch_timestamp_ms: caught_up_ms,
            last_caught_up_timestamp_ms: caught_up_ms,
            endpoints: vec![RaftVoterEndpoint {
                listener: "CONTROLLER".to_owned(),
                host: "::1".to_owned(),
                port: 9093,
            }],
        }
    }

    fn quorum() -> QuorumInfo {
        let mut observer = replica(7, 3, None);
        observer.endpoints.clear();
        observer.directory_id = Uuid::ZERO;
        QuorumInfo {
            cluster_id: "c".to_owned(),
            leader_id: 2,
            leader_epoch: 5,
            high_watermark: 10,
            voters: vec![replica(1, 8, Some(900)), replica(2, 10, Some(1_000))],
            observers: vec![observer],
        }
    }

    #[test]
    fn the_status_says_how_far_the_slowest_is_behind() {
        let text = status(&quorum());
        assert!(text.contains("MaxFollowerLag:         2\nMaxFollowerLagTimeMs:   100\n"), "{text}");
        let voter = "{\"id\": 1, \"directoryId\": \"AAAAAAAAAAAAAAAAAAAAAQ\", \"endpoints\": [\"CONTROLLER://[::1]:9093\"]}";
        assert!(text.contains(voter), "{text}");
        assert!(text.ends_with("CurrentObservers:       [{\"id\": 7}]\n"), "{text}");
    }

    #[test]
    fn the_leader_comes_first_in_the_table() {
        let text = replication(&quorum(), Some(1_500)).unwrap();
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split('\t').map(str::trim).collect()).collect();
        assert_eq!(lines[1][..4], ["2", "AAAAAAAAAAAAAAAAAAAAAg", "10", "0"]);
        assert_eq!(lines[2][4..], ["600 ms ago", "600 ms ago", "Follower", ""]);
        assert_eq!(lines[3][3..], ["7", "-1", "-1", "Observer", ""]);
        assert!(replication(&quorum(), Some(950)).unwrap_err().contains("possible drift"));
    }

    #[test]
    fn a_controllers_configuration_names_its_listeners() {
        let value = |key: &str| {
            let value = match key {
                "listeners" => "CONTROLLER://:9093, SECOND://0.0.0.0:9094",
                "advertised.listeners" => "SECOND://c1:9094",
                "controller.listener.names" => "controller,SECOND",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let texts: Vec<String> = endpoints(&value).unwrap().iter().map(endpoint).collect();
        assert_eq!(texts, ["CONTROLLER://localhost:9093", "SECOND://c1:9094"]);
    }
}
