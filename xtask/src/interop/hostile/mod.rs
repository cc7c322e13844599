//! What no well-behaved client sends. The broker stays up, its memory stays bounded, others do not notice, and what it
//! answers is what Apache Kafka answers.

pub mod batch;
mod bystander;
mod requests;

use super::broker::{Broker, Kind, Node};
use super::chance::Chance;
use super::report::Report;
use super::toolbox::{kcat_read, kcat_write, tool};
use super::wire::{self, Reaction};
use super::{World, lines, program};
use bystander::Bystander;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

/// milena's memory may not pass this, whatever is sent: one honest frame of 100 MiB fits several times.
const MEMORY_MIB: u64 = 512;

/// Runs the case.
pub fn run(world: &World, report: &mut Report) -> Result<(), String> {
    let node = Node::new(world, "hostile", &[])?;
    let mut broker = node.start(world)?;
    for topic in ["target", "bystander"] {
        let create = ["--create", "--topic", topic];
        program::run(&mut tool("kafka-topics", &broker.bootstrap(), &create)?, &node.dir, "create")?
            .good()?;
    }
    let offered = wire::api_versions(broker.port)?;
    let before = broker.memory_mib();
    let bystander = Bystander::start(broker.port);
    let mut hostile = Hostile { report, port: broker.port, chance: Chance(world.seed), smoke: world.smoke };
    hostile.sizes();
    hostile.unknown();
    hostile.random();
    hostile.bent_requests(&requests::all(&offered)?);
    hostile.produce("lying batches", &batch::lies());
    let bombs: Vec<_> =
        batch::bombs(&node.dir)?.into_iter().map(|(name, bytes)| (name, bytes, "any")).collect();
    hostile.produce("bombs", &bombs);
    // Apache Kafka allocates what a frame announces: with its heap it stands four of these.
    hostile.greedy(if world.kind == Kind::Apache { 4 } else { 64 });
    hostile.crowd(&mut broker)?;

    let (exchanges, failure) = bystander.finish();
    report.check(
        "others do not notice",
        match failure {
            None if exchanges > 0 => {
                Ok(format!("{exchanges} records acknowledged meanwhile, each at the next offset"))
            }
            None => Err("nothing was produced meanwhile".to_owned()),
            Some(failure) => Err(format!("after {exchanges} records: {failure}")),
        },
    );
    report.check(
        "the broker stays up",
        if broker.runs() { Ok(String::new()) } else { Err("it is gone".to_owned()) },
    );
    let (now, most) = broker.memory_mib();
    let memory = format!("{} MiB before, {now} MiB after, {most} MiB at most", before.0);
    if world.kind == Kind::Milena {
        report.check("its memory stays bounded", if most <= MEMORY_MIB { Ok(memory) } else { Err(memory) });
        let text = broker.text();
        let panicked = text.lines().find(|line| line.contains("panicked")).map(str::to_owned);
        report.check(
            "it never panicked",
            panicked.map_or(Ok(format!("{} lines of log", text.lines().count())), Err),
        );
    } else {
        report.skip("its memory stays bounded", &memory);
    }
    afterwards(world, report, &node, &broker)?;
    broker.stop()
}

/// Everything works as before, and after a restart too.
fn afterwards(world: &World, report: &mut Report, node: &Node, broker: &Broker) -> Result<(), String> {
    let text = lines::file(world, 1000)?;
    let bootstrap = broker.bootstrap();
    let wrote =
        program::run_with_input(&mut kcat_write(&bootstrap, "after", "lz4"), &node.dir, "write", &text)?;
    let read = program::run(&mut kcat_read(&bootstrap, "after", 0, "%s\n"), &node.dir, "read")?;
    report.check(
        "kcat works afterwards",
        wrote.good().and(read.good()).and_then(|()| program::same_file(&text, &read.out)),
    );
    Ok(())
}

struct Hostile<'a> {
    report: &'a mut Report,
    port: u16,
    chance: Chance,
    smoke: bool,
}

impl Hostile<'_> {
    /// Sends raw bytes on a connection of its own.
    fn raw(&self, bytes: &[u8]) -> Result<Reaction, String> {
        let mut stream = wire::connect(self.port).map_err(|error| format!("cannot connect: {error}"))?;
        Ok(wire::send(&mut stream, bytes))
    }

    fn expect(&mut self, what: &str, reaction: Result<Reaction, String>, expected: &str) {
        let result = reaction.and_then(|reaction| {
            let said = match &reaction {
                Reaction::Answer(payload) => format!("answer {:?}", payload.get(4..6).unwrap_or_default()),
                other => format!("{other:?}").to_lowercase(),
            };
            if said == expected { Ok(said) } else { Err(format!("{said} instead of {expected}")) }
        });
        self.report.check(what, result);
    }

    fn sizes(&mut self) {
        for (what, size) in [
            ("size -1", -1_i32),
            ("size 0", 0),
            ("the largest size", i32::MAX),
            ("one byte too many", 104_857_601),
        ] {
            let reaction = self.raw(&[&size.to_be_bytes()[..], &[0; 32]].concat());
            self.expect(&format!("a frame of {what}"), reaction, "closed");
        }
        let mut connections = 0;
        for _ in 0..100 {
            connections += usize::from(wire::connect(self.port).is_ok());
        }
        self.report.check(
            "connections that say nothing",
            if connections == 100 { Ok("100".to_owned()) } else { Err(connections.to_string()) },
        );
    }

    fn unknown(&mut self) {
        for (what, key, version, expected) in [
            ("API 999", 999, 0, "closed"),
            ("API -1", -1, 0, "closed"),
            ("LeaderAndIsr, which is no more", 4, 0, "closed"),
            ("Metadata version 99", 3, 99, "closed"),
            ("Metadata version -1", 3, -1, "closed"),
            ("Produce version 2, which is no more", 0, 2, "closed"),
            ("ApiVersions version 99: UNSUPPORTED_VERSION in version 0", 18, 99, "answer [0, 35]"),
            ("BrokerHeartbeat at the broker's listener", 63, 0, "closed"),
        ] {
            let reaction = wire::exchange(self.port, &wire::request(key, version, 2, &[1, 1, 0]));
            self.expect(what, reaction, expected);
        }
        let mut names = wire::request(3, 1, 1, &[]);
        names[8..10].copy_from_slice(&[0x7f, 0xff]);
        let reaction = wire::exchange(self.port, &names);
        self.expect("a client id longer than its frame", reaction, "closed");
        let reaction = wire::exchange(self.port, &wire::request(3, 1, 1, &i32::MAX.to_be_bytes()));
        self.expect("Metadata of two billion topics", reaction, "closed");
        let reaction = wire::exchange(self.port, &wire::request(3, 9, 2, &[0xff, 0xff, 0xff, 0xff, 0x0f]));
        self.expect("Metadata of four billion topics", reaction, "closed");
        let reaction = wire::exchange(self.port, &wire::request(1, 4, 1, &[0x7f; 12]));
        self.expect("a Fetch of 12 bytes", reaction, "closed");
    }

    fn random(&mut self) {
        let count = if self.smoke { 200 } else { 5_000 };
        let mut seen = BTreeMap::new();
        let mut broken = None;
        for turn in 0..count {
            let length = 1 + self.chance.below(400);
            let mut bytes = self.chance.bytes(length);
            if turn % 2 == 0 {
                bytes = wire::frame(&bytes);
            }
            // Half of them are cut off by us: a broker waits for the rest of a frame that was announced.
            match patient(self.port, &bytes, Duration::from_millis(20)) {
                Ok(reaction) => *seen.entry(reaction).or_insert(0) += 1,
                Err(error) => broken = Some(error),
            }
        }
        self.report
            .check("random bytes and frames", broken.map_or_else(|| Ok(format!("{count}: {seen:?}")), Err));
    }

    /// Requests that are right but for a cut, a length that lies, or some bytes.
    fn bent_requests(&mut self, requests: &[requests::Request]) {
        let turns = if self.smoke { 1 } else { 10 };
        let mut cut = BTreeMap::new();
        let mut bent = BTreeMap::new();
        let mut problems = Vec::new();
        for request in requests {
            for _ in 0..turns {
                let place = request.body + self.chance.below(request.payload.len() - request.body);
                match patient(self.port, &wire::frame(&request.payload[..place]), Duration::from_secs(2)) {
                    Ok("silence") => problems.push(format!(
                        "{} version {} cut after {place} bytes: silence",
                        request.name, request.version
                    )),
                    Ok(reaction) => *cut.entry(reaction).or_insert(0) += 1,
                    Err(error) => problems.push(error),
                }
                let mut payload = request.payload.clone();
                let lie: &[u8] =
                    [&b"\x7f\xff\xff\xff"[..], b"\xff\xff\xff\xff\x0f", b"\x7f\xff", b"\x80\0\0\0"]
                        [self.chance.below(4)];
                let end = payload.len().min(place + lie.len());
                payload[place..end].copy_from_slice(&lie[..end - place]);
                match patient(self.port, &wire::frame(&payload), Duration::from_millis(50)) {
                    Ok(reaction) => *bent.entry(reaction).or_insert(0) += 1,
                    Err(error) => problems.push(error),
                }
            }
        }
        let keys: std::collections::BTreeSet<i16> = requests.iter().map(|request| request.key).collect();
        let what = format!("{} requests of {} APIs", requests.len(), keys.len());
        let result = if problems.is_empty() {
            Ok(format!("cut: {cut:?}, with a lie: {bent:?}"))
        } else {
            Err(format!("{}: {}", problems.len(), problems[..problems.len().min(5)].join("; ")))
        };
        self.report.check(&format!("{what}, cut short and with lengths that lie"), result);
    }

    fn produce(&mut self, what: &str, batches: &[(&str, Vec<u8>, &str)]) {
        for (name, bytes, expected) in batches {
            let said = produce(self.port, "target", bytes);
            let result = match said {
                Ok(said)
                    if expected.split(" or ").any(|good| good == said)
                        || *expected == "any" && said != "silence" =>
                {
                    Ok(said)
                }
                Ok(said) => Err(format!("{said} instead of {expected}")),
                Err(error) => Err(error),
            };
            self.report.check(&format!("{what}: {name}"), result);
        }
    }

    /// Connections that announce as much as they may and send next to nothing.
    fn greedy(&mut self, count: usize) {
        let mut streams = Vec::new();
        for _ in 0..count {
            let Ok(mut stream) = wire::connect(self.port) else { continue };
            let sent =
                stream.write_all(&104_857_600_i32.to_be_bytes()).and_then(|()| stream.write_all(&[0; 1000]));
            if sent.is_ok() {
                streams.push(stream);
            }
        }
        std::thread::sleep(Duration::from_millis(500));
        let answers = wire::api_versions(self.port).map(|_| format!("{} of them", streams.len()));
        self.report.check("connections that announce 100 MiB and send a thousandth of a percent", answers);
    }

    /// Many connections with half a request each.
    fn crowd(&mut self, broker: &mut Broker) -> Result<(), String> {
        let count = if self.smoke { 300 } else { 900 };
        let mut streams = Vec::new();
        for _ in 0..count {
            let mut stream = wire::connect(self.port)
                .map_err(|error| format!("after {} connections: {error}", streams.len()))?;
            let half = wire::frame(&wire::request(18, 0, 1, &[]));
            stream.write_all(&half[..half.len() / 2]).map_err(|error| error.to_string())?;
            streams.push(stream);
        }
        let halves = wire::frame(&wire::request(18, 0, 1, &[]));
        let mut answered = 0;
        for stream in &mut streams {
            answered +=
                usize::from(matches!(wire::send(stream, &halves[halves.len() / 2..]), Reaction::Answer(_)));
        }
        let result = if answered == count && broker.runs() {
            Ok(String::new())
        } else {
            Err(format!("{answered} were answered"))
        };
        self.report
            .check(&format!("{count} connections with half a request each, then the other half"), result);
        Ok(())
    }
}

/// Sends bytes on a connection of its own and waits a while; the kind of the reaction.
fn patient(port: u16, bytes: &[u8], wait: Duration) -> Result<&'static str, String> {
    let mut stream = wire::connect(port).map_err(|error| format!("cannot connect: {error}"))?;
    stream.set_read_timeout(Some(wait)).map_err(|error| error.to_string())?;
    Ok(match wire::send(&mut stream, bytes) {
        Reaction::Answer(_) => "answer",
        Reaction::Closed => "closed",
        Reaction::Silence => "silence",
    })
}

/// Produce version 7, acks=all, of bytes to partition 0 of a topic on a connection of its own: error code and base offset.
pub fn produce_once(port: u16, topic: &str, records: &[u8]) -> Result<(i16, i64), String> {
    let payload = wire::request(0, 7, 1, &produce_body(topic, records));
    match wire::exchange(port, &payload)? {
        Reaction::Answer(payload) => produced(&payload, topic).ok_or_else(|| "a short answer".to_owned()),
        other => Err(format!("{other:?}")),
    }
}

/// Produce version 7, acks=all, of bytes to partition 0 of a topic: `error CODE`, or what else happened.
fn produce(port: u16, topic: &str, records: &[u8]) -> Result<String, String> {
    let mut stream = wire::connect(port).map_err(|error| format!("cannot connect: {error}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(|error| error.to_string())?;
    let payload = wire::request(0, 7, 1, &produce_body(topic, records));
    Ok(match wire::send(&mut stream, &wire::frame(&payload)) {
        Reaction::Answer(payload) => match produced(&payload, topic) {
            Some((error, _)) => format!("error {error}"),
            None => "a short answer".to_owned(),
        },
        other => format!("{other:?}").to_lowercase(),
    })
}

fn produce_body(topic: &str, records: &[u8]) -> Vec<u8> {
    let length = i32::try_from(records.len()).unwrap_or(i32::MAX);
    let head =
        [&(-1_i16).to_be_bytes()[..], &(-1_i16).to_be_bytes(), &5000_i32.to_be_bytes(), &1_i32.to_be_bytes()]
            .concat();
    [
        head,
        wire::string(topic),
        1_i32.to_be_bytes().to_vec(),
        0_i32.to_be_bytes().to_vec(),
        length.to_be_bytes().to_vec(),
        records.to_vec(),
    ]
    .concat()
}

/// Error code and base offset of a Produce answer of version 7 for one partition.
fn produced(payload: &[u8], topic: &str) -> Option<(i16, i64)> {
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    let error = payload.get(at..at + 2)?;
    let offset = payload.get(at + 2..at + 10)?;
    Some((
        i16::from_be_bytes([error[0], error[1]]),
        offset.iter().fold(0_i64, |offset, byte| offset << 8 | i64::from(*byte)),
    ))
}
