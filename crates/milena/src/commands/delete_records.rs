//! `milena delete-records`, which is `kafka-delete-records.sh` (`org.apache.kafka.tools.DeleteRecordsCommand`).

use std::collections::BTreeMap;
use std::process::ExitCode;

use common::TopicPartition;
use serde_json::Value;

use super::client_tool::{self, AdminOptions, exception};
use super::json_file;

/// Delete the first records of partitions, up to an offset
#[derive(clap::Args, Debug)]
#[command(infer_long_args = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    admin: AdminOptions,
    /// A file with the offsets: {"partitions": [{"topic": "foo", "partition": 1, "offset": 1}], "version": 1}
    #[arg(long, value_name = "Offset json file path", required_unless_present = "version")]
    offset_json_file: Option<String>,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.admin.version {
        return client_tool::print_version();
    }
    client_tool::run(1, async move {
        let admin = arguments.admin.admin()?;
        let json = json_file::read(arguments.offset_json_file.as_deref().unwrap_or_default())?;
        let before = offsets(&json)?;
        println!("Executing records delete operation");
        let results = admin.delete_records(&before).await.map_err(|error| error.to_string())?;
        println!("Records delete operation completed:");
        for (at, result) in results {
            match result {
                Ok(low_watermark) => println!("partition: {at}\tlow_watermark: {low_watermark}"),
                Err(error) => println!("partition: {at}\terror: {}", exception(&error)),
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn offsets(json: &Value) -> Result<BTreeMap<TopicPartition, i64>, String> {
    if let Some(version) = json.get("version").filter(|version| **version != 1) {
        return Err(format!("Not supported version field value {version}"));
    }
    let mut offsets = BTreeMap::new();
    let mut twice = Vec::new();
    for entry in json_file::partitions(json, "Missing partitions field")? {
        let at = json_file::topic_partition(entry)?;
        if offsets.insert(at.clone(), json_file::number(entry, "offset")?).is_some() {
            twice.push(at.to_string());
        }
    }
    if !twice.is_empty() {
        return Err(format!("Offset json file contains duplicate topic partitions: {}", twice.join(",")));
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BTreeMap<TopicPartition, i64>, String> {
        json_file::parse(text).and_then(|json| offsets(&json))
    }

    #[test]
    fn offsets_are_read_and_what_is_wrong_is_named() {
        let good =
            read("{\"partitions\":[{\"topic\":\"t\",\"partition\":1,\"offset\":5}],\"version\":1}").unwrap();
        assert_eq!(good[&TopicPartition::new("t", 1)], 5);
        let entry = "{\"topic\":\"t\",\"partition\":1,\"offset\":5}";
        for (text, error) in [
            ("x".to_owned(), "The input string is not a valid JSON"),
            ("{}".to_owned(), "Missing partitions field"),
            ("{\"version\":2}".to_owned(), "Not supported version field value 2"),
            (
                format!("{{\"partitions\":[{entry},{entry}]}}"),
                "Offset json file contains duplicate topic partitions: t-1",
            ),
            ("{\"partitions\":[{\"topic\":\"t\"}]}".to_owned(), "No such field exists: `partition`"),
        ] {
            assert_eq!(read(&text).unwrap_err(), error, "{text}");
        }
    }
}
