//! The files with moves and with topics: what they say, and what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};

use common::TopicPartition;
use serde_json::Value;

use super::joined;
use super::replica_dirs::Replica;
use crate::commands::json_file;

/// The place of a log directory that does not matter.
const ANY_LOG_DIR: &str = "any";

/// Where partitions are to go.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// In the order of the file, in which a partition may stand twice.
    pub(super) partitions: Vec<(TopicPartition, Vec<i32>)>,
    /// The replicas for which a log directory is named.
    pub(super) log_dirs: BTreeMap<Replica, String>,
}

impl Plan {
    /// The replicas by partition.
    pub(super) fn by_partition(&self) -> BTreeMap<TopicPartition, Vec<i32>> {
        self.partitions.iter().cloned().collect()
    }

    /// The names of the topics.
    pub(super) fn topics(&self) -> BTreeSet<String> {
        self.partitions.iter().map(|(at, _)| at.topic.to_string()).collect()
    }

    /// Whether it can be executed.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.partitions.is_empty() {
            return Err("Partition reassignment list cannot be empty".to_owned());
        }
        if self.partitions.iter().any(|(_, replicas)| replicas.is_empty()) {
            return Err("Partition replica list cannot be empty".to_owned());
        }
        let twice = duplicates(self.partitions.iter().map(|(at, _)| at));
        if !twice.is_empty() {
            return Err(format!(
                "Partition reassignment contains duplicate topic partitions: {}",
                joined(twice)
            ));
        }
        let twice: Vec<String> = self
            .partitions
            .iter()
            .map(|(at, replicas)| (at, duplicates(replicas)))
            .filter(|(_, twice)| !twice.is_empty())
            .map(|(at, twice)| format!("{at} contains multiple entries for {}", joined(twice)))
            .collect();
        match twice.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "Partition replica lists may not contain duplicate entries: {}",
                twice.join(". ")
            )),
        }
    }
}

/// What is there more than once.
fn duplicates<T: Ord>(all: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let mut seen = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for one in all {
        if seen.contains(&one) {
            twice.insert(one);
        } else {
            seen.insert(one);
        }
    }
    twice
}

/// What a file says as the version of its format.
fn check_version(json: &Value) -> Result<(), String> {
    json_file::is_object(json)?;
    match json.get("version") {
        None => Ok(()),
        Some(_) => match json_file::number(json, "version")? {
            1 => Ok(()),
            other => Err(format!("Not supported version field value {other}")),
        },
    }
}

/// The moves in a file.
pub(super) fn read(json: &Value) -> Result<Plan, String> {
    check_version(json)?;
    let mut plan = Plan::default();
    let Some(partitions) = json.get("partitions") else { return Ok(plan) };
    for entry in array(partitions)? {
        let at = json_file::topic_partition(entry)?;
        let replicas = array(present(entry, "replicas")?)?.iter().map(int).collect::<Result<Vec<_>, _>>()?;
        let dirs = match entry.get("log_dirs") {
            None => vec![ANY_LOG_DIR.to_owned(); replicas.len()],
            Some(dirs) => array(dirs)?.iter().map(text).collect::<Result<Vec<_>, _>>()?,
        };
        if replicas.len() != dirs.len() {
            return Err(format!(
                "Size of replicas list [{}] is different from size of log dirs list [{}] for partition {at}",
                replicas.iter().map(i32::to_string).collect::<Vec<_>>().join(", "),
                dirs.join(", ")
            ));
        }
        for (broker, dir) in replicas.iter().zip(dirs).filter(|(_, dir)| dir != ANY_LOG_DIR) {
            plan.log_dirs.insert(Replica { broker: *broker, at: at.clone() }, dir);
        }
        plan.partitions.push((at, replicas));
    }
    Ok(plan)
}

fn present<'a>(entry: &'a Value, field: &str) -> Result<&'a Value, String> {
    entry.get(field).ok_or_else(|| format!("No such field exists: `{field}`"))
}

fn array(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("Expected JSON array, received {value}"))
}

fn int(value: &Value) -> Result<i32, String> {
    let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
    number.ok_or_else(|| format!("Expected `Integer` value, received {value}"))
}

fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("Expected `String` value, received {value}"))
}

/// The topics in the file of `--topics-to-move-json-file`.
pub(super) fn topics(json: &Value) -> Result<Vec<String>, String> {
    check_version(json)?;
    let mut topics = Vec::new();
    if let Some(list) = json.get("topics") {
        for entry in array(list)? {
            topics.push(json_file::text(entry, "topic")?.to_owned());
        }
    }
    let twice = duplicates(&topics);
    match twice.is_empty() {
        true => Ok(topics),
        false => Err(format!(
            "List of topics to reassign contains duplicate entries: [{}]",
            twice.into_iter().cloned().collect::<Vec<_>>().join(", ")
        )),
    }
}

/// The ids in `--broker-list`.
pub(super) fn brokers(list: &str) -> Result<Vec<i32>, String> {
    let id = |id: &str| id.parse::<i32>().map_err(|_| format!("For input string: \"{id}\""));
    let brokers = list.split(',').map(id).collect::<Result<Vec<_>, _>>()?;
    let twice = duplicates(&brokers);
    match twice.is_empty() {
        true => Ok(brokers),
        false => Err(format!(
            "Broker list contains duplicate entries: [{}]",
            twice.into_iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
        )),
    }
}

/// Assignments as a file has them, the fields in the order that Kafka's tool gives them.
pub(super) fn to_json(
    assignments: &BTreeMap<TopicPartition, Vec<i32>>,
    dirs: &BTreeMap<Replica, String>,
) -> String {
    let partitions = assignments.iter().map(|(at, replicas)| {
        let dir_of = |broker: &i32| {
            let replica = Replica { broker: *broker, at: at.clone() };
            Value::from(dirs.get(&replica).map_or(ANY_LOG_DIR, String::as_str)).to_string()
        };
        format!(
            "{{\"topic\":{},\"partition\":{},\"replicas\":[{}],\"log_dirs\":[{}]}}",
            Value::from(&*at.topic),
            at.partition,
            joined(replicas),
            joined(replicas.iter().map(dir_of))
        )
    });
    format!("{{\"version\":1,\"partitions\":[{}]}}", joined(partitions))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str) -> Result<Plan, String> {
        let plan = read(&json_file::parse(text)?)?;
        plan.check().map(|()| plan)
    }

    #[test]
    fn a_plan_is_read_and_written() {
        let text = r#"{"version":1,"partitions":[{"topic":"foo","partition":0,"replicas":[1,2],"log_dirs":["any","/d"]}]}"#;
        let read = plan(text).unwrap();
        let foo = TopicPartition::new("foo", 0);
        assert_eq!(read.partitions, [(foo.clone(), vec![1, 2])]);
        assert_eq!(read.log_dirs, BTreeMap::from([(Replica { broker: 2, at: foo }, "/d".to_owned())]));
        assert_eq!(to_json(&read.by_partition(), &read.log_dirs), text);
    }

    #[test]
    fn what_is_wrong_with_a_plan_is_told_in_kafkas_words() {
        let one = |replicas: &str| format!(r#"{{"topic":"foo","partition":0,"replicas":[{replicas}]}}"#);
        let of = |entries: &[String]| format!(r#"{{"partitions":[{}]}}"#, entries.join(","));
        for (text, said) in [
            ("{".to_owned(), "The input string is not a valid JSON"),
            (r#"{"version":2}"#.to_owned(), "Not supported version field value 2"),
            ("{}".to_owned(), "Partition reassignment list cannot be empty"),
            (of(&[one("")]), "Partition replica list cannot be empty"),
            (of(&[one("1"), one("2")]), "Partition reassignment contains duplicate topic partitions: foo-0"),
            (
                of(&[one("1,2,1")]),
                "Partition replica lists may not contain duplicate entries: foo-0 contains multiple entries for 1",
            ),
            (
                r#"{"partitions":[{"topic":"foo","partition":0,"replicas":[1,2],"log_dirs":["/d"]}]}"#
                    .to_owned(),
                "Size of replicas list [1, 2] is different from size of log dirs list [/d] for partition foo-0",
            ),
        ] {
            assert_eq!(plan(&text).unwrap_err(), said, "{text}");
        }
        assert_eq!(brokers("1,2,1").unwrap_err(), "Broker list contains duplicate entries: [1]");
        let topics = topics(&json_file::parse(r#"{"topics":[{"topic":"a"},{"topic":"a"}]}"#).unwrap());
        assert_eq!(topics.unwrap_err(), "List of topics to reassign contains duplicate entries: [a]");
    }
}
