//! Members of a group by several clients: programs below `interop/members` that say what becomes of them
//! (`interop/members/README.md`), and the check of what they said.

mod history;
mod mixed;
mod rolling;

pub use mixed::run as mixed;
pub use rolling::run as rolling;

use super::{World, program, toolbox};
use history::{Event, Life};
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Whose client.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Client {
    Java,
    Librdkafka,
    FranzGo,
    KafkaJs,
    Milena,
}

impl Client {
    fn name(self) -> &'static str {
        match self {
            Client::Java => "java",
            Client::Librdkafka => "librdkafka",
            Client::FranzGo => "franz-go",
            Client::KafkaJs => "kafkajs",
            Client::Milena => "milena",
        }
    }

    fn command(self, world: &World) -> Result<Command, String> {
        match self {
            Client::Java => toolbox::java_class(world, "members/Member.java"),
            Client::Librdkafka => toolbox::python(world, "members/member.py"),
            Client::FranzGo => toolbox::go(world, "franz-go"),
            Client::KafkaJs => toolbox::node(world, "members/member.js"),
            Client::Milena => toolbox::own_member(),
        }
    }
}

/// Which protocol a member speaks, and with which assignor of its own.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Protocol {
    /// The classic one, with the assignor.
    Classic(&'static str),
    /// KIP-848.
    Consumer,
}

/// Brokers let members be silent for no less than this.
const SESSION_TIMEOUT_MS: u32 = 6_000;

/// What the brokers must be told for these members: short sessions in KIP-848, too.
pub const BROKER: &[(&str, &str)] = &[
    ("group.consumer.min.session.timeout.ms", "6000"),
    ("group.consumer.session.timeout.ms", "6000"),
    ("group.consumer.min.heartbeat.interval.ms", "500"),
    ("group.consumer.heartbeat.interval.ms", "500"),
];

/// A member that runs.
struct Member {
    child: Child,
    name: String,
    client: Client,
    instance: Option<&'static str>,
}

/// A group on one topic: its members, living and gone, and what they said.
pub struct Group<'a> {
    world: &'a World,
    /// Where what they said is kept.
    dir: PathBuf,
    bootstrap: String,
    name: String,
    topic: String,
    partitions: u32,
    /// How long members of the classic protocol may be silent.
    pub session_timeout_ms: u32,
    living: Vec<Member>,
    lives: Vec<Life>,
    /// When members may lose partitions.
    excused_us: Vec<RangeInclusive<u64>>,
}

impl<'a> Group<'a> {
    /// A group of nobody on a new topic.
    pub fn new(
        world: &'a World,
        dir: &Path,
        bootstrap: &str,
        name: &str,
        partitions: u32,
    ) -> Result<Group<'a>, String> {
        let topic = format!("{name}-topic");
        let count = partitions.to_string();
        let create = ["--create", "--topic", &topic, "--partitions", &count];
        program::run(&mut toolbox::tool("kafka-topics", bootstrap, &create)?, dir, "create")?.good()?;
        Ok(Group {
            world,
            dir: dir.to_owned(),
            bootstrap: bootstrap.to_owned(),
            name: name.to_owned(),
            topic,
            partitions,
            session_timeout_ms: SESSION_TIMEOUT_MS,
            living: Vec::new(),
            lives: Vec::new(),
            excused_us: Vec::new(),
        })
    }

    /// Starts a member, static if it has an instance id; its name.
    pub fn join(
        &mut self,
        client: Client,
        protocol: Protocol,
        instance: Option<&'static str>,
    ) -> Result<String, String> {
        let name = format!("{}-{}", client.name(), self.lives.len());
        let mut command = client.command(self.world)?;
        command.args([&self.bootstrap, &self.name, &self.topic]);
        // No client takes a shorter one than the session timeout.
        command.arg(format!("max.poll.interval.ms={}", self.session_timeout_ms.max(15_000)));
        match protocol {
            Protocol::Classic(assignor) => {
                command.arg(format!("partition.assignment.strategy={assignor}"));
                command.arg(format!("session.timeout.ms={}", self.session_timeout_ms));
                command.arg("heartbeat.interval.ms=500");
            }
            Protocol::Consumer => _ = command.arg("group.protocol=consumer"),
        }
        if let Some(instance) = instance {
            command.arg(format!("group.instance.id={instance}"));
        }
        let create = |end: &str| File::create(self.dir.join(format!("{}-{name}.{end}", self.name)));
        let (out, err) = (create("out"), create("err"));
        command.stdin(Stdio::piped());
        command
            .stdout(out.map_err(|error| error.to_string())?)
            .stderr(err.map_err(|error| error.to_string())?);
        let child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
        self.living.push(Member { child, name: name.clone(), client, instance });
        self.lives.push(Life { name: name.clone(), events: Vec::new(), leaving_us: None, killed_us: None });
        Ok(name)
    }

    /// The names of those that are there, in the order in which they came.
    pub fn members(&self) -> Vec<String> {
        self.living.iter().map(|member| member.name.clone()).collect()
    }

    fn take(&mut self, name: &str) -> Result<Member, String> {
        let at = self.living.iter().position(|member| member.name == name);
        Ok(self.living.remove(at.ok_or_else(|| format!("{name} is not there"))?))
    }

    /// Lets a member leave, and waits until it has.
    pub fn leave(&mut self, name: &str) -> Result<(), String> {
        let mut member = self.take(name)?;
        self.life(name)?.leaving_us = Some(now_us()?);
        drop(member.child.stdin.take());
        match program::wait(&mut member.child, Duration::from_secs(40)) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(format!("{name} ended with {status}")),
            None => {
                let _ = member.child.kill();
                let _ = member.child.wait();
                Err(format!("{name} does not leave"))
            }
        }
    }

    /// Kills a member.
    pub fn kill(&mut self, name: &str) -> Result<(), String> {
        let mut member = self.take(name)?;
        member.child.kill().map_err(|error| error.to_string())?;
        member.child.wait().map_err(|error| error.to_string())?;
        self.life(name)?.killed_us = Some(now_us()?);
        Ok(())
    }

    fn life(&mut self, name: &str) -> Result<&mut Life, String> {
        self.lives.iter_mut().find(|life| life.name == name).ok_or_else(|| format!("{name} never lived"))
    }

    /// What all of them have said so far. An error if one that should live has ended.
    fn listen(&mut self) -> Result<&[Life], String> {
        for member in &mut self.living {
            if let Ok(Some(status)) = member.child.try_wait() {
                return Err(format!("{} ended with {status}", member.name));
            }
        }
        for life in &mut self.lives {
            let path = self.dir.join(format!("{}-{}.out", self.name, life.name));
            let text = crate::project::read(&path)?;
            // The last line may not be whole yet.
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            life.events = whole.lines().filter_map(Event::parse).collect();
        }
        Ok(&self.lives)
    }

    /// Something in which members may lose partitions, though nobody asked them to leave.
    pub fn excused<T>(&mut self, what: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        let from = now_us()?;
        let result = what(self);
        self.excused_us.push(from..=now_us()?);
        result
    }

    /// Waits until every partition has one owner and each member its share; how long that took.
    pub fn settle(&mut self, limit: Duration) -> Result<Duration, String> {
        let started = Instant::now();
        let (members, partitions) = (self.members(), self.partitions);
        loop {
            let state = history::settled(self.listen()?, &members, partitions);
            match state {
                Ok(()) => return Ok(started.elapsed()),
                Err(error) if started.elapsed() > limit => {
                    return Err(format!("not settled after {} s: {error}", limit.as_secs()));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// Waits until the members have read up to the ends.
    pub fn catch_up(&mut self, ends: &BTreeMap<u32, u64>, limit: Duration) -> Result<(), String> {
        let started = Instant::now();
        loop {
            let positions = history::positions(self.listen()?);
            if ends.iter().all(|(partition, end)| positions.get(partition).unwrap_or(&0) >= end) {
                return Ok(());
            }
            if started.elapsed() > limit {
                return Err(format!("read up to {positions:?} of {ends:?} after {} s", limit.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Everybody leaves; then the whole history is checked, and that the group has committed the ends.
    pub fn end(&mut self, ends: &BTreeMap<u32, u64>) -> Result<String, String> {
        for name in self.members() {
            self.leave(&name)?;
        }
        self.listen()?;
        let counts = history::check(&self.lives, ends, &self.excused_us)?;
        let describe = ["--describe", "--group", &self.name, "--offsets"];
        let mut describe = toolbox::tool("kafka-consumer-groups", &self.bootstrap, &describe)?;
        let described = program::run(&mut describe, &self.dir, "offsets")?.text()?;
        let committed = committed(&described, &self.topic);
        if committed != *ends {
            return Err(format!("committed are {committed:?} of {ends:?}"));
        }
        let history::Counts { lives, killed, tenures, records, read_twice } = counts;
        Ok(format!(
            "{lives} members, {killed} of them killed; {tenures} tenures, one at a time; {records} records, {read_twice} again after a kill"
        ))
    }

    /// Its id.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its members as `kafka-consumer-groups` describes them, with their epochs and assignments.
    pub fn described(&self) -> Result<Vec<String>, String> {
        let describe = ["--describe", "--group", &self.name, "--members", "--verbose"];
        let mut describe = toolbox::tool("kafka-consumer-groups", &self.bootstrap, &describe)?;
        let text = program::run(&mut describe, &self.dir, "members")?.text()?;
        let mut lines: Vec<String> = text.lines().map(|line| line.trim_end().to_owned()).collect();
        lines.sort_unstable();
        Ok(lines)
    }

    /// The topic that the group reads.
    pub fn topic(&self) -> &str {
        &self.topic
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        for member in &mut self.living {
            // An error means that it has ended already.
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
    }
}

fn now_us() -> Result<u64, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
    u64::try_from(now.as_micros()).map_err(|error| error.to_string())
}

/// The committed offsets of a topic in what `kafka-consumer-groups --describe --offsets` prints: GROUP, TOPIC, PARTITION,
/// CURRENT-OFFSET and more.
fn committed(described: &str, topic: &str) -> BTreeMap<u32, u64> {
    let rows = described.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let of_topic = rows.filter(|row| row.get(1) == Some(&topic));
    of_topic.filter_map(|row| Some((row.get(2)?.parse().ok()?, row.get(3)?.parse().ok()?))).collect()
}

/// The log end of each partition by what a producer was told: lines of `NUMBER PARTITION OFFSET`.
pub fn ends(acknowledged: &str) -> BTreeMap<u32, u64> {
    let mut ends = BTreeMap::new();
    for line in acknowledged.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(partition), Some(offset)) = (words.next(), words.next()) else { continue };
        if let (Ok(partition), Ok(offset)) = (partition.parse(), offset.parse::<u64>()) {
            let end = ends.entry(partition).or_insert(0);
            *end = (offset + 1).max(*end);
        }
    }
    ends
}
