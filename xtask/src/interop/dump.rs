//! Apache Kafka's `kafka-dump-log` over a data directory: segments, indexes, producer snapshots, committed offsets, the
//! metadata log and its snapshots.

use super::broker::Node;
use super::program;
use super::report::Report;
use crate::{apache, project};
use std::path::{Path, PathBuf};

/// Reads all of it; the broker must have stopped.
pub fn data(report: &mut Report, node: &Node, whose: &str) -> Result<(), String> {
    let files = project::files_below(&node.data)?;
    let of = |end: &str, inside: &dyn Fn(&str) -> bool| -> Vec<PathBuf> {
        let matching = files.iter().filter(|path| {
            let dir =
                path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
            path.extension().is_some_and(|found| found == end) && inside(&dir)
        });
        matching.cloned().collect()
    };
    let metadata = |dir: &str| dir == "__cluster_metadata-0";
    let offsets = |dir: &str| dir.starts_with("__consumer_offsets");
    let topics = |dir: &str| !metadata(dir) && !offsets(dir);
    let mut checks: Vec<(&str, Vec<PathBuf>, &[&str], Check)> = vec![
        ("segments", of("log", &topics), &["--deep-iteration"], segments),
        ("offset indexes", of("index", &|dir| !metadata(dir)), &["--index-sanity-check"], indexes),
        ("time indexes", of("timeindex", &|dir| !metadata(dir)), &[], indexes),
        ("committed offsets", of("log", &offsets), &["--offsets-decoder"], decoded_offsets),
        ("metadata log", of("log", &metadata), &["--cluster-metadata-decoder"], decoded_metadata),
        (
            "metadata snapshots",
            of("checkpoint", &metadata),
            &["--cluster-metadata-decoder"],
            decoded_snapshots,
        ),
    ];
    let producers = of("snapshot", &topics);
    if !producers.is_empty() {
        checks.push(("producer snapshots", producers, &[], |text, files| {
            Ok(format!("{files} files, {} producers", text.matches("producerId: ").count()))
        }));
    }
    for (what, files, options, check) in checks {
        let result = dump(node, &files, options).and_then(|text| check(&text, files.len()));
        report.check(&format!("kafka-dump-log reads {whose}'s {what}"), result);
    }
    Ok(())
}

/// The records of some segments, a line each.
pub fn records(node: &Node, segments: &[PathBuf]) -> Result<String, String> {
    dump(node, segments, &["--print-data-log"])
}

type Check = fn(&str, usize) -> Result<String, String>;

fn dump(node: &Node, files: &[PathBuf], options: &[&str]) -> Result<String, String> {
    if files.is_empty() {
        return Err("there are none".to_owned());
    }
    let names: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let mut tool = apache::tool("kafka-dump-log")?;
    tool.args(["--files", &names.join(",")]).args(options);
    let text = program::run(&mut tool, &node.dir, "dump-log")?.text()?;
    let complaints =
        ["isvalid: false", "Mismatches in", "Found ", "Could not", "Exception", "is corrupt", "not valid"];
    match text.lines().find(|line| complaints.iter().any(|complaint| line.contains(complaint))) {
        Some(line) => Err(line.chars().take(300).collect()),
        None => Ok(text),
    }
}

fn segments(text: &str, files: usize) -> Result<String, String> {
    let batches = text.lines().filter(|line| line.starts_with("baseOffset: ")).count();
    let records = text.lines().filter(|line| line.starts_with("| offset: ")).count();
    if records == 0 {
        return Err(format!("no records in {files} files"));
    }
    Ok(format!("{files} files, {batches} batches, {records} records"))
}

fn indexes(text: &str, files: usize) -> Result<String, String> {
    // An empty index says nothing, or that it is empty.
    Ok(format!("{files} files, {} lines", text.lines().count()))
}

fn decoded_offsets(text: &str, files: usize) -> Result<String, String> {
    let commits = text.matches("\"group\":\"readers\"").count();
    if commits == 0 {
        Err(format!("no commit of the group in {files} files"))
    } else {
        Ok(format!("{files} files, {commits} records of the group"))
    }
}

fn decoded_metadata(text: &str, files: usize) -> Result<String, String> {
    let records = text.matches("\"type\":\"").count();
    for needed in [
        "FEATURE_LEVEL_RECORD",
        "REGISTER_BROKER_RECORD",
        "TOPIC_RECORD",
        "PARTITION_RECORD",
        "CONFIG_RECORD",
    ] {
        if !text.contains(needed) {
            return Err(format!("no {needed} among {records} in {files} files"));
        }
    }
    Ok(format!("{files} files, {records} records"))
}

fn decoded_snapshots(text: &str, files: usize) -> Result<String, String> {
    let records = text.matches("\"type\":\"").count();
    for needed in ["SnapshotHeader", "SnapshotFooter", "FEATURE_LEVEL_RECORD"] {
        if !text.contains(needed) {
            return Err(format!("no {needed} among {records} in {files} files"));
        }
    }
    Ok(format!("{files} files, {records} records"))
}
