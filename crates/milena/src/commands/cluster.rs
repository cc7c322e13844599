//! `milena cluster`, which is `kafka-cluster.sh` (`org.apache.kafka.tools.ClusterTool`).

use std::path::PathBuf;
use std::process::ExitCode;

use client::{Admin, ClientError};
use common::ErrorCode;

use super::broker_api_versions;
use super::client_tool::{self, exception, failed_future, node_text};

/// Show a cluster's id and endpoints, and take brokers out of it
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(clap::Subcommand, Debug)]
enum ClusterCommand {
    /// Print the id of the cluster
    ClusterId(Connection),
    /// Take a broker that is gone for good out of the cluster
    Unregister(Unregister),
    /// List the brokers, or the controllers, and where they are
    ListEndpoints(ListEndpoints),
    /// Show which versions of which APIs the brokers speak
    ApiVersions(Connection),
}

#[derive(clap::Args, Debug)]
#[command(infer_long_args = true)]
struct Connection {
    /// The brokers to ask first: HOST:PORT, several with commas [default: localhost:9092]
    #[arg(short, long, value_name = "BOOTSTRAP_SERVER", conflicts_with = "bootstrap_controller")]
    bootstrap_server: Option<String>,
    /// The controllers to ask first, in place of brokers: HOST:PORT, several with commas
    #[arg(short = 'C', long, value_name = "BOOTSTRAP_CONTROLLER")]
    bootstrap_controller: Option<String>,
    /// Properties for the admin client
    #[arg(short, long, value_name = "COMMAND_CONFIG")]
    command_config: Option<PathBuf>,
    /// The old name of --command-config
    #[arg(long, value_name = "CONFIG", hide = true)]
    config: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
struct Unregister {
    #[command(flatten)]
    connection: Connection,
    /// The broker's id
    #[arg(short, long, value_name = "ID")]
    id: i32,
}

#[derive(clap::Args, Debug)]
struct ListEndpoints {
    #[command(flatten)]
    connection: Connection,
    /// List brokers that are fenced too
    #[arg(long)]
    include_fenced_brokers: bool,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    client_tool::run(1, async move {
        match arguments.command {
            ClusterCommand::ClusterId(connection) => {
                let described = connection.admin()?.describe_cluster_in_detail(false).await;
                println!("Cluster ID: {}", described.map_err(said)?.cluster_id);
            }
            ClusterCommand::Unregister(unregister) => {
                let id = unregister.id;
                match unregister.connection.admin()?.unregister_broker(id).await {
                    Ok(()) => println!("Broker {id} is no longer registered."),
                    Err(error) if is_unsupported(&error) => {
                        println!("The target cluster does not support the broker unregistration API.");
                    }
                    Err(error) => return Err(failed_future(&error)),
                }
            }
            ClusterCommand::ListEndpoints(list) => list_endpoints(&list).await?,
            ClusterCommand::ApiVersions(connection) => {
                for (node, versions) in connection.admin()?.api_versions().await.map_err(said)? {
                    match versions {
                        Ok(versions) => {
                            println!("{} -> {}", node_text(&node), broker_api_versions::text(&versions));
                        }
                        Err(error) => println!("{} -> ERROR: {}", node_text(&node), exception(&error)),
                    }
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn said(error: ClientError) -> String {
    match &error {
        ClientError::Api { .. } => failed_future(&error),
        _ => error.to_string(),
    }
}

fn is_unsupported(error: &ClientError) -> bool {
    matches!(error, ClientError::UnsupportedApi { .. }) || error.code() == Some(ErrorCode::UnsupportedVersion)
}

impl Connection {
    fn admin(&self) -> Result<Admin, String> {
        let file = match (&self.config, &self.command_config) {
            (Some(_), Some(_)) => {
                return Err("--config and --command-config cannot be specified together.".to_owned());
            }
            (old, new) => client_tool::config_file(new.as_deref(), ("--config", old.as_deref())),
        };
        client_tool::either_admin(
            self.bootstrap_server.as_deref(),
            self.bootstrap_controller.as_deref(),
            file,
        )
    }
}

async fn list_endpoints(list: &ListEndpoints) -> Result<(), String> {
    if list.include_fenced_brokers && list.connection.bootstrap_controller.is_some() {
        let flag = "--include-fenced-brokers is only supported with --bootstrap-server option";
        return Err(format!("The option {flag}"));
    }
    let described = list.connection.admin()?.describe_cluster_in_detail(list.include_fenced_brokers).await;
    let brokers = match described {
        Ok(described) => described.brokers,
        Err(error) if is_unsupported(&error) => {
            println!("{error}");
            return Ok(());
        }
        Err(error) => return Err(said(error)),
    };
    let width = |texts: &mut dyn Iterator<Item = &str>, none: usize| {
        texts.map(|text| text.chars().count()).max().unwrap_or(none)
    };
    let host_width = width(&mut brokers.iter().map(|(node, _)| node.host.as_str()), 100);
    let rack_width = width(&mut brokers.iter().filter_map(|(node, _)| node.rack.as_deref()), 10);
    // Of controllers nobody knows whether they are fenced.
    let (endpoint, shows_state) = match list.connection.bootstrap_controller {
        Some(_) => ("controller", false),
        None => ("broker", true),
    };
    let row = |id: &str, host: &str, port: &str, rack: &str, state: &str, endpoint: &str| {
        let state = if shows_state { format!("{state:<10} ") } else { String::new() };
        println!("{id:<10} {host:<host_width$} {port:<10} {rack:<rack_width$} {state}{endpoint:<15}");
    };
    row("ID", "HOST", "PORT", "RACK", "STATE", "ENDPOINT_TYPE");
    for (node, fenced) in &brokers {
        let state = if *fenced { "fenced" } else { "unfenced" };
        let rack = node.rack.as_deref().unwrap_or("null");
        row(&node.id.to_string(), &node.host, &node.port.to_string(), rack, state, endpoint);
    }
    Ok(())
}
