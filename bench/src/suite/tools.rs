//! `producer-perf-test` and `consumer-perf-test` of milena and of Apache Kafka as clients, each against either broker.
//!
//! The rates are those that the tools print; the CPU time is the whole process's, the start of a JVM included: what that alone
//! takes stands in a row of its own.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::system::Running;
use crate::{
    Failure, Result,
    measure::{Metric, process::Meter},
    wire::connection::Connection,
};

/// As the bench of the clients has it.
const PARTITIONS: i32 = 4;
/// No run of a tool takes longer.
const LIMIT: Duration = Duration::from_secs(300);

/// Whose tools, and how one of them is called.
#[derive(Debug, Clone)]
pub struct Tools {
    pub name: String,
    /// Words, in which `{tool}` is filled in.
    command: Vec<String>,
}

impl Tools {
    pub fn new(name: &str, command: &str) -> Self {
        Self { name: name.to_owned(), command: command.split_whitespace().map(str::to_owned).collect() }
    }

    /// milena's binary.
    pub fn milena(binary: &str) -> Self {
        Self { name: "milena".to_owned(), command: vec![binary.to_owned(), "{tool}".to_owned()] }
    }

    fn command(&self, tool: &str) -> Result<Command> {
        let mut words = self.command.iter().map(|word| word.replace("{tool}", tool));
        let mut command = Command::new(words.next().ok_or_else(|| Failure::new("no command for the tools"))?);
        command.args(words);
        Ok(command)
    }
}

/// What the tools are to do.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    pub name: &'static str,
    record_size: usize,
    records: usize,
}

/// The pieces of work.
pub fn all(quick: bool) -> [Work; 3] {
    let share = if quick { 10 } else { 1 };
    [
        Work { name: "one record", record_size: 100, records: 1 },
        Work { name: "100 B", record_size: 100, records: 2_000_000 / share },
        Work { name: "1 KiB", record_size: 1024, records: 500_000 / share },
    ]
}

/// What was found: of which work, by whose tools.
pub type Found = (String, String, Result<Vec<Metric>>);

/// How many records a tool says there were, and what else it says.
type Said = (usize, Vec<Metric>);

/// Everybody's tools produce to topics of their own and consume one of them, in turns that `order` gives.
pub fn run(tools: &[Tools], server: &Running, work: Work, round: usize, order: &[usize]) -> Vec<Found> {
    let mut found = Vec::new();
    let topic = |tools: &Tools| format!("bench-{round}-{}-{}", work.record_size, tools.name);
    let at = server.address.to_string();
    let (records, size) = (work.records.to_string(), work.record_size.to_string());
    for tools in order.iter().map(|index| &tools[*index]) {
        let topic = topic(tools);
        let arguments = ["--bootstrap-server", &at, "--topic", &topic, "--num-records", &records];
        let more = ["--record-size", &size, "--throughput", "-1"];
        let done = create(server, &topic)
            .and_then(|()| tools.command("producer-perf-test"))
            .and_then(|mut command| measure(command.args(arguments).args(more), server, work, produced));
        found.push((format!("produce {}, {}'s broker", work.name, server.name), tools.name.clone(), done));
    }
    if work.records > 1
        && let Some(written) = tools.first()
    {
        for tools in order.iter().map(|index| &tools[*index]) {
            let topic = topic(written);
            let arguments = ["--bootstrap-server", &at, "--topic", &topic, "--num-records", &records];
            let done = tools
                .command("consumer-perf-test")
                .and_then(|mut command| measure(command.args(arguments), server, work, consumed));
            found.push((
                format!("consume {}, {}'s broker", work.name, server.name),
                tools.name.clone(),
                done,
            ));
        }
    }
    for tools in tools {
        let topic = topic(tools);
        let deleted = Connection::open(server.address).and_then(|mut server| server.delete_topic(&topic));
        if let Err(failure) = deleted {
            eprintln!("bench: {topic}: {failure}");
        }
    }
    found
}

fn create(server: &Running, topic: &str) -> Result<()> {
    Connection::open(server.address)?.create_topic(topic, PARTITIONS, &[])
}

/// Runs a tool to its end. `read` finds in what it printed how many records there were, and what it says of them.
fn measure(
    command: &mut Command,
    server: &Running,
    work: Work,
    read: fn(&str) -> Option<Said>,
) -> Result<Vec<Metric>> {
    let meter = Meter::start(server.target().servers)?;
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (printed, complaints, cpu_s) = end(child)?;
    let usage = meter.stop()?;
    let (records, mut metrics) = read(&printed)
        .ok_or_else(|| Failure::new(format!("a tool that says no rate: {printed} {complaints}")))?;
    if records < work.records {
        return Err(Failure::new(format!("{records} records of {}: {complaints}", work.records)));
    }
    if work.records == 1 {
        // Nothing but the start: there is no rate.
        return Ok(vec![
            Metric::new("from start to end", "s", usage.wall_s),
            Metric::new("client CPU", "s", cpu_s),
        ]);
    }
    let million = records as f64 / 1e6;
    metrics.push(Metric::new("client CPU per million records", "s", cpu_s / million));
    metrics.push(Metric::new("server CPU per million records", "s", usage.server_cpu_s / million));
    metrics.push(Metric::new("from start to end", "s", usage.wall_s));
    metrics.push(Metric::new("others", "cores", (usage.others_cores - cpu_s / usage.wall_s).max(0.0)));
    Ok(metrics)
}

/// Waits for the end of a process: what it printed, and the CPU seconds that it took, its threads and children included.
fn end(mut child: Child) -> Result<(String, String, f64)> {
    let read = |stream: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut stream) = stream {
                // What was read until an error is what there is.
                let _ = stream.read_to_end(&mut bytes);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let printed = read(child.stdout.take().map(|stream| Box::new(stream) as _));
    let complaints = read(child.stderr.take().map(|stream| Box::new(stream) as _));
    let pid = libc::pid_t::try_from(child.id()).map_err(|error| Failure::new(error.to_string()))?;
    let deadline = Instant::now() + LIMIT;
    let (status, cpu_s) = loop {
        let mut status = 0;
        // SAFETY: an all-zero rusage is a valid one.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: the call writes only to the local variables that it is given; nobody else waits for this child.
        match unsafe { libc::wait4(pid, &raw mut status, libc::WNOHANG, &raw mut usage) } {
            0 if Instant::now() > deadline => {
                child.kill()?;
                child.wait()?;
                return Err(Failure::new(format!("a tool that does not end in {} s", LIMIT.as_secs())));
            }
            0 => std::thread::sleep(Duration::from_millis(2)),
            -1 => return Err(std::io::Error::last_os_error().into()),
            _ => break (status, seconds(usage.ru_utime) + seconds(usage.ru_stime)),
        }
    };
    let text = |thread: std::thread::JoinHandle<String>| thread.join().unwrap_or_default();
    let (printed, complaints) = (text(printed), text(complaints));
    if status != 0 {
        return Err(Failure::new(format!("a tool ended with status {status}: {printed} {complaints}")));
    }
    Ok((printed, complaints, cpu_s))
}

fn seconds(time: libc::timeval) -> f64 {
    time.tv_sec as f64 + time.tv_usec as f64 / 1e6
}

/// The last line of `producer-perf-test`: `N records sent, R records/sec (M MB/sec), A ms avg latency, ...`.
fn produced(printed: &str) -> Option<Said> {
    let line =
        printed.lines().rev().find(|line| line.contains(" records sent, ") && line.contains(" 99th"))?;
    let before = |unit: &str| -> Option<f64> {
        let value = line.split(", ").find(|part| part.contains(unit))?;
        value.split_whitespace().next()?.parse().ok()
    };
    let metrics = vec![
        Metric::new("records", "1000/s", before("records/sec")? / 1e3),
        Metric::new("average latency", "ms", before("avg latency")?),
        Metric::new("p99", "ms", before("ms 99th")?),
    ];
    Some((line.split_whitespace().next()?.parse().ok()?, metrics))
}

/// The line of `consumer-perf-test` below its header.
fn consumed(printed: &str) -> Option<Said> {
    let mut lines = printed.lines().skip_while(|line| !line.starts_with("start.time, "));
    let names: Vec<&str> = lines.next()?.split(", ").collect();
    let values: Vec<&str> = lines.next()?.split(", ").collect();
    let value = |name: &str| {
        let place = names.iter().position(|known| *known == name)?;
        values.get(place)?.trim().parse::<f64>().ok()
    };
    let metrics = vec![
        Metric::new("records", "1000/s", value("nMsg.sec")? / 1e3),
        Metric::new("records while it fetches", "1000/s", value("fetch.nMsg.sec")? / 1e3),
    ];
    Some((value("data.consumed.in.nMsg")? as usize, metrics))
}

/// How the page is to be read.
pub const PREFACE: &str = "\
The columns are whose tool it is that runs as the client; each row says whose broker it talks to, and what it does. All settings of both \
tools and of both brokers are default; topics have four partitions. The rates and latencies are those that the tools print. The CPU time of \
a client is that of its whole process, a JVM's start included: what a start takes is the first row of each broker. `records` of a consumer \
counts the time until its group gives it the partitions, `records while it fetches` does not.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tools_print_is_read() {
        let printed = "WARN something\n\
            250000 records sent, 49990.0 records/sec (4.77 MB/sec), 2.1 ms avg latency, 91.0 ms max latency.\n\
            600000 records sent, 120000.5 records/sec (117.19 MB/sec), 24.31 ms avg latency, 310.00 ms max latency, \
            20 ms 50th, 80 ms 95th, 120 ms 99th, 300 ms 99.9th.\n";
        let (records, metrics) = produced(printed).unwrap();
        assert_eq!(records, 600_000);
        assert_eq!(metrics.iter().map(|metric| metric.value).collect::<Vec<_>>(), [120.0005, 24.31, 120.0]);
        assert!(produced("nothing").is_none());
        let printed = "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, \
            rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n\
            2026-01-01 10:00:00:000, 2026-01-01 10:00:04:000, 585.9375, 146.4844, 600000, 150000.0000, 3000, 1000, \
            585.9375, 600000.0000\n";
        let (records, metrics) = consumed(printed).unwrap();
        assert_eq!(records, 600_000);
        assert_eq!(metrics.iter().map(|metric| metric.value).collect::<Vec<_>>(), [150.0, 600.0]);
        assert!(consumed("start.time, end.time\n").is_none());
    }
}
