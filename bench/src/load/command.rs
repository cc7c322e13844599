//! The loads as commands.

use std::time::Duration;

use super::{Target, connections, end_to_end, fetch, produce, resolve};
use crate::{
    Result,
    args::Args,
    measure::{Metric, process::Servers},
    wire::{batch, connection::Connection},
};

fn target(args: &mut Args) -> Result<Target> {
    let server = args.text("--server")?.unwrap_or_else(|| "127.0.0.1:9092".to_owned());
    let servers = args.optional("--server-pid")?.map(Servers::one).unwrap_or_default();
    Ok(Target { address: resolve(&server)?, servers })
}

fn print(metrics: &[Metric]) {
    for metric in metrics.iter().filter(|metric| metric.value.is_finite()) {
        println!("{:24} {:14.3} {}", metric.name, metric.value, metric.unit);
    }
}

/// Runs a load on the topic that was named, or on one that is made for it and deleted afterwards.
fn on_topic<T>(
    target: Target,
    named: Option<String>,
    partitions: i32,
    synced: bool,
    load: impl FnOnce(String) -> Result<T>,
) -> Result<T> {
    if let Some(topic) = named {
        return load(topic);
    }
    let topic = format!("bench-{}", std::process::id());
    let mut connection = Connection::open(target.address)?;
    let configs: &[(&str, &str)] = if synced { &[("flush.messages", "1")] } else { &[] };
    connection.create_topic(&topic, partitions, configs)?;
    let done = load(topic.clone());
    connection.delete_topic(&topic)?;
    done
}

pub fn produce(args: &mut Args) -> Result<()> {
    let target = target(args)?;
    let named = args.text("--topic")?;
    let record_size = args.or("--record-size", 100)?;
    let batch_size = args.or("--batch-size", 1_000_000)?;
    let records = args.optional("--records")?;
    let requests = produce::Until::Requests(args.or("--requests", 500)?);
    let until =
        args.optional("--seconds")?.map_or(requests, |s| produce::Until::Elapsed(Duration::from_secs_f64(s)));
    let mut options = produce::Options {
        topic: String::new(),
        partitions: args.or("--partitions", 1)?,
        connections: args.or("--connections", 1)?,
        in_flight: args.or("--in-flight", 5)?,
        acks: args.or("--acks", 1)?,
        records_per_batch: records.unwrap_or_else(|| batch::records_that_fit(batch_size, record_size)),
        record_size,
        codec: None,
        until,
        reserve: None,
    };
    let synced = args.switch("--synced");
    args.finish()?;
    let produced = on_topic(target, named, options.partitions, synced, |topic| {
        options.topic = topic;
        produce::run(target, &options)
    })?;
    print(&produced.metrics());
    Ok(())
}

pub fn roundtrip(args: &mut Args) -> Result<()> {
    let target = target(args)?;
    let named = args.text("--topic")?;
    let mut options = produce::Options {
        topic: String::new(),
        partitions: 1,
        connections: args.or("--connections", 1)?,
        in_flight: args.or("--in-flight", 1)?,
        acks: args.or("--acks", 1)?,
        records_per_batch: 1,
        record_size: args.or("--record-size", 100)?,
        codec: None,
        until: produce::Until::Requests(args.or("--requests", 20_000)?),
        reserve: None,
    };
    let synced = args.switch("--synced");
    args.finish()?;
    let produced = on_topic(target, named, 1, synced, |topic| {
        options.topic = topic;
        produce::run(target, &options)
    })?;
    print(&produced.metrics());
    Ok(())
}

pub fn fetch(args: &mut Args) -> Result<()> {
    let target = target(args)?;
    let topic = args.required("--topic")?;
    let max_bytes = args.or("--max-bytes", 1 << 20)?;
    args.finish()?;
    print(&fetch::run(target, &topic, 0, max_bytes)?.metrics());
    Ok(())
}

pub fn end_to_end(args: &mut Args) -> Result<()> {
    let target = target(args)?;
    let named = args.text("--topic")?;
    let mut options = end_to_end::Options {
        topic: String::new(),
        rate: args.or("--rate", 1000)?,
        records_per_batch: args.or("--records", 1)?,
        acks: args.or("--acks", 1)?,
        record_size: args.or("--record-size", 100)?,
        duration: Duration::from_secs_f64(args.or("--seconds", 10.0)?),
    };
    args.finish()?;
    let delivered = on_topic(target, named, 1, false, |topic| {
        options.topic = topic;
        end_to_end::run(target, &options)
    })?;
    print(&delivered.metrics());
    Ok(())
}

pub fn connections(args: &mut Args) -> Result<()> {
    let target = target(args)?;
    let count = args.or("--count", 1000)?;
    args.finish()?;
    print(&connections::run(target, count)?);
    Ok(())
}
