//! `milena client-metrics`, which is `kafka-client-metrics.sh` (`org.apache.kafka.tools.ClientMetricsCommand`).

use std::process::ExitCode;

use client::admin::{ConfigResource, ConfigResourceType};
use client::{Admin, AlterConfigOp, ClientError};
use common::Uuid;

use super::client_tool::{self, AdminOptions};
use crate::report::failure;

/// See to the subscriptions of clients' metrics (KIP-714)
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    admin: AdminOptions,
    /// Set a subscription
    #[arg(long)]
    alter: bool,
    /// Delete a subscription
    #[arg(long)]
    delete: bool,
    /// Show subscriptions
    #[arg(long)]
    describe: bool,
    /// List subscriptions
    #[arg(long)]
    list: bool,
    /// The subscription's name
    #[arg(long, value_name = "name")]
    name: Option<String>,
    /// With --alter: make up a name
    #[arg(long)]
    generate_name: bool,
    /// How often metrics are pushed, in ms; empty for the default
    #[arg(long, value_name = "push interval")]
    interval: Option<String>,
    /// Whose metrics, by client_id, client_instance_id, client_software_name, client_software_version, client_source_address and
    /// client_source_port
    #[arg(long = "match", value_name = "k1=v1,k2=v2")]
    matches: Vec<String>,
    /// Which metrics, by the beginnings of their names
    #[arg(long, value_name = "m1,m2")]
    metrics: Vec<String>,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.admin.version {
        return client_tool::print_version();
    }
    if let Err(error) = arguments.check() {
        return failure(error);
    }
    client_tool::run(1, async move {
        let admin = arguments.admin.admin()?;
        match arguments.execute(&admin).await {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => {
                println!("Error while executing client metrics command : {error}");
                Ok(ExitCode::FAILURE)
            }
        }
    })
}

fn resource(name: &str) -> ConfigResource {
    ConfigResource { resource_type: ConfigResourceType::ClientMetrics, name: name.to_owned() }
}

impl Arguments {
    /// The combinations that make no sense, in Kafka's words.
    fn check(&self) -> Result<(), String> {
        let actions = [self.alter, self.delete, self.describe, self.list];
        if actions.into_iter().filter(|given| *given).count() != 1 {
            return Err("Command must include exactly one action: --alter, --delete, --describe or --list."
                .to_owned());
        }
        let settings = [
            ("name", self.list && self.name.is_some()),
            ("generate-name", self.generate_name),
            ("interval", self.interval.is_some()),
            ("match", !self.matches.is_empty()),
            ("metrics", !self.metrics.is_empty()),
        ];
        for (action, given) in [("delete", self.delete), ("describe", self.describe), ("list", self.list)] {
            let other = settings.iter().find(|(_, set)| *set && given);
            if let Some((other, _)) = other {
                return Err(format!("Option \"[{action}]\" can't be used with option \"[{other}]\""));
            }
        }
        if self.alter {
            if self.name.is_some() == self.generate_name {
                return Err("One of --name or --generate-name must be specified with --alter.".to_owned());
            }
            let interval = self.interval.as_deref().unwrap_or_default();
            if !interval.is_empty() && interval.parse::<i32>().is_err() {
                return Err("Invalid interval value. Enter an integer, or leave empty to reset.".to_owned());
            }
        }
        if self.delete && self.name.is_none() {
            return Err("A client metrics resource name must be specified with --delete.".to_owned());
        }
        Ok(())
    }

    async fn execute(&self, admin: &Admin) -> Result<(), ClientError> {
        if self.alter {
            let name = self.name.clone().unwrap_or_else(|| Uuid::random().to_string());
            admin.incremental_alter_configs(&resource(&name), &self.changes()).await?;
            println!("Altered client metrics config for {name}.");
            return Ok(());
        }
        if self.delete {
            let name = self.name.as_deref().unwrap_or_default();
            let keys = configs(admin, name).await?.into_iter().map(|(key, _)| (key, AlterConfigOp::Delete));
            admin.incremental_alter_configs(&resource(name), &keys.collect::<Vec<_>>()).await?;
            println!("Deleted client metrics config for {name}.");
            return Ok(());
        }
        let known = admin.list_config_resources(ConfigResourceType::ClientMetrics).await?;
        let mut names: Vec<String> = known.into_iter().map(|resource| resource.name).collect();
        if self.list {
            println!("{}", names.join("\n"));
            return Ok(());
        }
        if let Some(name) = &self.name {
            if !names.contains(name) {
                println!("The client metric resource {name} doesn't exist and doesn't have dynamic config.");
                return Ok(());
            }
            names = vec![name.clone()];
        }
        for name in names {
            println!("Client metrics configs for {name} are:");
            for (key, value) in configs(admin, &name).await? {
                println!("  {key}={value}");
            }
        }
        Ok(())
    }

    fn changes(&self) -> Vec<(String, AlterConfigOp)> {
        let joined = |values: &[String]| (!values.is_empty()).then(|| values.join(","));
        let settings = [
            ("interval.ms", self.interval.clone()),
            ("metrics", joined(&self.metrics)),
            ("match", joined(&self.matches)),
        ];
        let change = |(key, value): (&str, Option<String>)| {
            let value = value?;
            let change = if value.is_empty() { AlterConfigOp::Delete } else { AlterConfigOp::Set(value) };
            Some((key.to_owned(), change))
        };
        settings.into_iter().filter_map(change).collect()
    }
}

async fn configs(admin: &Admin, name: &str) -> Result<Vec<(String, String)>, ClientError> {
    let mut described = admin.describe_configs(&[resource(name)]).await?;
    let entries = described.remove(&resource(name)).unwrap_or_else(|| Ok(Vec::new()))?;
    Ok(entries
        .into_iter()
        .map(|entry| (entry.name, entry.value.unwrap_or_else(|| "null".to_owned())))
        .collect())
}
