//! kcat (librdkafka 2.0) as people use it: metadata, four codecs, keys and headers, nulls, queries by time, groups.

use super::report::Report;
use super::toolbox::{kcat, kcat_read, kcat_write};
use super::{World, broker::Node, lines, program};

const CASE: &str = "kcat";

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    let node = Node::new(world, CASE, &[("num.partitions", "1")])?;
    let broker = node.start(world)?;
    let bootstrap = broker.bootstrap();
    let count = world.million() / 4;
    let text = lines::file(world, count)?;

    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("codec-{codec}");
        let written =
            program::run_with_input(&mut kcat_write(&bootstrap, &topic, codec), &node.dir, &topic, &text)?;
        report.check(&format!("{count} lines in, {codec}"), written.good().map(|()| String::new()));
        let read =
            program::run(&mut kcat_read(&bootstrap, &topic, 0, "%s\n"), &node.dir, &format!("{topic}-read"))?;
        report.check(
            &format!("{count} lines out, {codec}"),
            read.good().and_then(|()| program::same_file(&text, &read.out)),
        );
    }

    let listed = program::run(kcat(&bootstrap).args(["-L", "-J"]), &node.dir, "metadata")?.text();
    report.check("-L names broker, topics and leaders", listed.and_then(|text| metadata(&text)));

    report.check("keys, headers, timestamps and nulls come back", keys_and_headers(&node, &bootstrap));
    report.check("-Q finds offsets", queries(&node, &bootstrap, count));
    report.check("a group consumes all, then nothing", group(&node, &bootstrap));
    broker.stop()
}

fn metadata(text: &str) -> Result<String, String> {
    let json: serde_json::Value = serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))?;
    let topics = json["topics"].as_array().ok_or("no topics")?;
    let brokers = json["brokers"].as_array().ok_or("no brokers")?;
    let led = topics.iter().all(|topic| topic["partitions"][0]["leader"] == 1);
    if topics.len() == 5 && led && brokers.len() == 1 && brokers[0]["id"] == 1 {
        Ok(format!("{} topics", topics.len()))
    } else {
        Err(text.to_owned())
    }
}

fn keys_and_headers(node: &Node, bootstrap: &str) -> Result<String, String> {
    let input = node.dir.join("keyed.txt");
    crate::project::write(&input, "k1:v1\nk2:v2\nk3:\n:v4\n")?;
    let mut write = kcat(bootstrap);
    write.args(["-P", "-t", "keyed", "-p", "0", "-K", ":", "-Z", "-H", "trace=abc", "-H", "empty="]);
    program::run_with_input(&mut write, &node.dir, "keyed", &input)?.good()?;
    let format = "%o %k %K %s %S %h\n";
    let read =
        program::run(&mut kcat_read(bootstrap, "keyed", 0, format), &node.dir, "keyed-read")?.text()?;
    let expected = "0 k1 2 v1 2 trace=abc,empty=\n1 k2 2 v2 2 trace=abc,empty=\n\
                    2 k3 2  -1 trace=abc,empty=\n3  -1 v4 2 trace=abc,empty=\n";
    if read == expected { Ok("4 records".to_owned()) } else { Err(read) }
}

fn queries(node: &Node, bootstrap: &str, count: usize) -> Result<String, String> {
    for (asked, expected) in [("-1", count), ("-2", 0), ("1000", 0)] {
        let query = format!("codec-zstd:0:{asked}");
        let text = program::run(kcat(bootstrap).args(["-Q", "-t", &query]), &node.dir, "query")?.text()?;
        if text.trim() != format!("codec-zstd [0] offset {expected}") {
            return Err(format!("asked for {asked}: {text}"));
        }
    }
    // The timestamp of a record in the middle leads to that record, or to an earlier one of the same millisecond.
    let middle = (count / 2).to_string();
    let mut read = kcat(bootstrap);
    read.args(["-C", "-q", "-t", "codec-zstd", "-p", "0", "-o", &middle, "-c", "1", "-f", "%T"]);
    let time = program::run(&mut read, &node.dir, "time")?.text()?;
    let query = format!("codec-zstd:0:{time}");
    let found = program::run(kcat(bootstrap).args(["-Q", "-t", &query]), &node.dir, "query")?.text()?;
    let offset = found.split_whitespace().last().unwrap_or_default();
    let mut read = kcat(bootstrap);
    read.args(["-C", "-q", "-t", "codec-zstd", "-p", "0", "-o", offset, "-c", "1", "-f", "%T"]);
    let again = program::run(&mut read, &node.dir, "time")?.text()?;
    if again == time {
        Ok(format!("offset {offset} for {time}"))
    } else {
        Err(format!("{found} has {again}, not {time}"))
    }
}

fn group(node: &Node, bootstrap: &str) -> Result<String, String> {
    let mut counts = Vec::new();
    for _ in 0..2 {
        let mut consumer = kcat(bootstrap);
        consumer.args([
            "-q",
            "-e",
            "-f",
            "%o\n",
            "-X",
            "auto.offset.reset=earliest",
            "-G",
            "readers",
            "keyed",
        ]);
        let text = program::run(&mut consumer, &node.dir, "group")?.text()?;
        counts.push(text.lines().count());
    }
    if counts == [4, 0] { Ok("4, then 0".to_owned()) } else { Err(format!("{counts:?} instead of [4, 0]")) }
}
