//! A million records with each of the four codecs by librdkafka and by the Java client, consumed by the other, equal.

use super::broker::Node;
use super::report::Report;
use super::toolbox::{java, kcat_read, kcat_write};
use super::{World, lines, program};
use std::path::Path;

const CASE: &str = "java-client";

/// The codecs, with the number that a batch's attributes carry.
const CODECS: [(&str, u8); 4] = [("gzip", 1), ("snappy", 2), ("lz4", 3), ("zstd", 4)];

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    let node = Node::new(world, CASE, &[])?;
    let broker = node.start(world)?;
    let bootstrap = broker.bootstrap();
    let count = world.million();
    let text = lines::file(world, count)?;
    let program = "java-client/Lines.java";
    for (codec, number) in CODECS {
        let (ours, theirs) = (format!("java-{codec}"), format!("rdkafka-{codec}"));
        let mut produce = java(program)?;
        produce.args(["produce", &bootstrap, &ours, codec]).arg(&text);
        let produced = program::run(&mut produce, &node.dir, &ours)?.good();
        let read =
            program::run(&mut kcat_read(&bootstrap, &ours, 0, "%s\n"), &node.dir, &format!("{ours}-read"))?;
        report.check(
            &format!("{count} records with {codec}, Java to librdkafka"),
            produced.and_then(|()| read.good()).and_then(|()| program::same_file(&text, &read.out)),
        );

        let produced =
            program::run_with_input(&mut kcat_write(&bootstrap, &theirs, codec), &node.dir, &theirs, &text)?;
        let out = node.dir.join(format!("{theirs}.txt"));
        let mut consume = java(program)?;
        consume.args(["consume", &bootstrap, &theirs, &count.to_string()]).arg(&out);
        let consumed = program::run(&mut consume, &node.dir, &format!("{theirs}-read"))?.good();
        report.check(
            &format!("{count} records with {codec}, librdkafka to Java"),
            produced.good().and(consumed).and_then(|()| program::same_file(&text, &out)),
        );
        for topic in [&ours, &theirs] {
            report.check(&format!("  {topic} is stored with {codec}"), stored_with(&node, topic, number));
        }
        let _ = std::fs::remove_file(out);
    }
    broker.stop()
}

/// The first batch on disk carries the codec: the broker kept what the producer sent.
fn stored_with(node: &Node, topic: &str, codec: u8) -> Result<String, String> {
    let segments = node.segments(&format!("{topic}-0"))?;
    let first = segments.first().ok_or("no segment")?;
    match attributes(first)? & 7 {
        found if found == codec => Ok(String::new()),
        found => Err(format!("codec {found} instead of {codec}")),
    }
}

fn attributes(segment: &Path) -> Result<u8, String> {
    let bytes = std::fs::read(segment).map_err(|error| error.to_string())?;
    bytes.get(22).copied().ok_or_else(|| format!("{} is empty", segment.display()))
}
