//! `milena broker-api-versions`, which is `kafka-broker-api-versions.sh`
//! (`org.apache.kafka.tools.BrokerApiVersionsCommand`).

use std::collections::BTreeMap;
use std::process::ExitCode;

use client::admin::ApiVersion;
use protocol::ApiKey;

use super::client_tool::{self, AdminOptions, exception, node_text};

/// Show which versions of which APIs the brokers speak
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    admin: AdminOptions,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.admin.version {
        return client_tool::print_version();
    }
    client_tool::run(1, async move {
        let all = arguments.admin.admin()?.api_versions().await.map_err(|error| error.to_string())?;
        for (node, versions) in all {
            match versions {
                Ok(versions) => println!("{} -> {}", node_text(&node), text(&versions)),
                Err(error) => println!("{} -> ERROR: {}", node_text(&node), exception(&error)),
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// The APIs of a node by their keys, as `NodeApiVersions` prints them.
pub(super) fn text(versions: &[ApiVersion]) -> String {
    let mut lines: BTreeMap<i16, String> = ApiKey::all()
        .filter(|api| api.on_broker())
        .map(|api| (api.code(), format!("{}({}): UNSUPPORTED", api.name(), api.code())))
        .collect();
    for version in versions {
        let (first, last) = (version.min_version, version.max_version);
        let range = if first == last { first.to_string() } else { format!("{first} to {last}") };
        let line = match ApiKey::from_code(version.api_key) {
            None => format!("UNKNOWN({}): {range}", version.api_key),
            Some(api) => {
                let ours = api.versions();
                let usable = if *ours.end() < first {
                    "unusable: node too new".to_owned()
                } else if last < *ours.start() {
                    "unusable: node too old".to_owned()
                } else {
                    format!("usable: {}", last.min(*ours.end()))
                };
                format!("{}({}): {range} [{usable}]", api.name(), api.code())
            }
        };
        lines.insert(version.api_key, line);
    }
    format!("(\n\t{}\n)", lines.into_values().collect::<Vec<_>>().join(",\n\t"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apis_are_listed_by_key_with_what_can_be_used() {
        let version = |api_key, min_version, max_version| ApiVersion { api_key, min_version, max_version };
        let text = text(&[version(30_000, 0, 0), version(0, 3, 99), version(1, 90, 99), version(2, 0, 0)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "(");
        assert_eq!(lines[1], "\tProduce(0): 3 to 99 [usable: 13],");
        assert_eq!(lines[2], "\tFetch(1): 90 to 99 [unusable: node too new],");
        assert_eq!(lines[3], "\tListOffsets(2): 0 [unusable: node too old],");
        assert_eq!(lines[4], "\tMetadata(3): UNSUPPORTED,");
        assert_eq!(lines[lines.len() - 2..], ["\tUNKNOWN(30000): 0", ")"]);
    }
}
