//! Several nodes of one cluster, each served by either broker, each in a directory of its own with its own
//! `server.properties`.

use super::World;
use super::broker::{Broker, Kind, apache_kafka, cluster_id, empty, free_port};
use super::namespaces;
use super::program;
use super::toolbox::{kcat, tool};
use crate::{apache, project};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// What a node does.
#[derive(Clone, Copy, PartialEq)]
pub enum Role {
    Broker,
    Controller,
    Combined,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::Broker => "broker",
            Role::Controller => "controller",
            Role::Combined => "broker,controller",
        }
    }

    fn is_broker(self) -> bool {
        self != Role::Controller
    }

    fn is_controller(self) -> bool {
        self != Role::Broker
    }
}

/// How the controllers know of each other.
#[derive(Clone, Copy, PartialEq)]
pub enum Quorum {
    /// All of them vote, as every configuration says.
    Static,
    /// The log says who votes: at first node 1 alone.
    Dynamic,
}

/// One node: its directory and configuration, and its process while there is one.
pub struct Member {
    pub id: i32,
    pub dir: PathBuf,
    pub data: PathBuf,
    pub properties: PathBuf,
    role: Role,
    /// What formatting its directory is told of the voters.
    voters: &'static [&'static str],
    host: String,
    /// The network namespace that it runs in, if it has one of its own.
    pub namespace: Option<String>,
    /// Of its broker's listener, or of its controller's where it is no broker.
    port: u16,
    /// Of its controller's listener.
    controller_port: u16,
    process: Option<Broker>,
}

impl Member {
    /// Where clients find it.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The id of its directory, as the quorum knows it.
    pub fn directory_id(&self) -> Result<String, String> {
        let text = project::read(&self.data.join("meta.properties"))?;
        let id = text.lines().find_map(|line| line.strip_prefix("directory.id="));
        id.map(str::to_owned).ok_or_else(|| format!("node {} has a directory without an id", self.id))
    }

    /// The process; an error if it does not run.
    pub fn process(&mut self) -> Result<&mut Broker, String> {
        self.process.as_mut().ok_or_else(|| format!("node {} does not run", self.id))
    }

    /// Starts it, and waits for nothing. Formats the directory the first time.
    fn launch(&mut self, world: &World, kind: Kind, cluster_id: &str) -> Result<(), String> {
        self.format(world, kind, cluster_id)?;
        self.start(world, kind)
    }

    fn format(&self, world: &World, kind: Kind, cluster_id: &str) -> Result<(), String> {
        if !self.data.join("meta.properties").exists() {
            let mut format = match kind {
                Kind::Milena => {
                    let mut milena = Command::new(world.milena()?);
                    milena.arg("storage");
                    milena
                }
                Kind::Apache => {
                    let mut java = apache::Jars::Broker.java()?;
                    java.arg("kafka.tools.StorageTool");
                    java
                }
            };
            format.args(["format", "-t", cluster_id]).args(self.voters).arg("-c").arg(&self.properties);
            program::run(&mut format, &self.dir, "format")?.good()?;
        }
        Ok(())
    }

    fn start(&mut self, world: &World, kind: Kind) -> Result<(), String> {
        let command = match kind {
            Kind::Milena => {
                let mut milena = Command::new(world.milena()?);
                milena.arg("server-start").arg(&self.properties);
                milena
            }
            Kind::Apache => apache_kafka(&self.properties, "512m")?,
        };
        let command = match &self.namespace {
            Some(name) => namespaces::within(name, &command),
            None => command,
        };
        let host = self.host.parse().map_err(|error| format!("{}: {error}", self.host))?;
        self.process = Some(Broker::launch_at(command, &self.dir, (host, self.port))?);
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> Result<(), String> {
        self.process.take().ok_or_else(|| format!("node {} does not run", self.id))?.stop()
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<(), String> {
        self.process.take().ok_or_else(|| format!("node {} does not run", self.id))?.kill()
    }
}

/// Nodes 1, 2, ... of one cluster with a static quorum of those that are controllers.
pub struct Cluster {
    pub dir: PathBuf,
    pub members: Vec<Member>,
    cluster_id: String,
}

impl Cluster {
    /// The nodes on free loopback ports, in a directory that is emptied first. `extra` goes to the end of all properties.
    pub fn new(world: &World, case: &str, roles: &[Role], extra: &[(&str, &str)]) -> Result<Cluster, String> {
        let hosts = vec!["127.0.0.1".to_owned(); roles.len()];
        Cluster::of(world, case, (roles, &hosts), Quorum::Static, extra)
    }

    /// The same with a quorum of either kind, and each node at an address of its own.
    pub fn of(
        world: &World,
        case: &str,
        (roles, hosts): (&[Role], &[String]),
        quorum: Quorum,
        extra: &[(&str, &str)],
    ) -> Result<Cluster, String> {
        let dir = world.dir().join(case);
        empty(&dir)?;
        let mut nodes = Vec::new();
        for ((id, role), host) in (1..).zip(roles).zip(hosts) {
            nodes.push((id, *role, host.clone(), free_port()?, free_port()?));
        }
        let controllers = nodes.iter().filter(|(_, role, ..)| role.is_controller());
        let voters: Vec<String> = match quorum {
            Quorum::Static => {
                controllers.map(|(id, _, host, _, port)| format!("{id}@{host}:{port}")).collect()
            }
            Quorum::Dynamic => controllers.map(|(_, _, host, _, port)| format!("{host}:{port}")).collect(),
        };
        let key = match quorum {
            Quorum::Static => "controller.quorum.voters",
            Quorum::Dynamic => "controller.quorum.bootstrap.servers",
        };
        let brokers = roles.iter().filter(|role| role.is_broker()).count().min(3);
        let mut members = Vec::new();
        for (id, role, host, broker_port, controller_port) in nodes {
            let dir = dir.join(format!("node-{id}"));
            project::make_dir(&dir)?;
            let broker = format!("PLAINTEXT://{host}:{broker_port}");
            let controller = format!("CONTROLLER://{host}:{controller_port}");
            let listeners = match role {
                Role::Broker => broker,
                Role::Controller => controller,
                Role::Combined => format!("{broker},{controller}"),
            };
            let data = dir.join("data");
            let mut text = format!(
                "process.roles={}\nnode.id={id}\n{key}={}\nlisteners={listeners}\n\
                 controller.listener.names=CONTROLLER\n\
                 listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\nlog.dirs={}\n",
                role.name(),
                voters.join(","),
                data.display()
            );
            if role.is_broker() {
                text.push_str(&format!(
                    "inter.broker.listener.name=PLAINTEXT\n\
                     offsets.topic.replication.factor={brokers}\noffsets.topic.num.partitions=5\n\
                     group.initial.rebalance.delay.ms=0\n"
                ));
            }
            for (key, value) in extra {
                text.push_str(&format!("{key}={value}\n"));
            }
            let properties = dir.join("server.properties");
            project::write(&properties, text)?;
            let port = if role.is_broker() { broker_port } else { controller_port };
            let voters: &[&str] = match (quorum, role) {
                (Quorum::Static, _) | (_, Role::Broker) => &[],
                (Quorum::Dynamic, _) if id == 1 => &["--standalone"],
                (Quorum::Dynamic, _) => &["--no-initial-controllers"],
            };
            let (namespace, process) = (None, None);
            members.push(Member {
                id,
                dir,
                data,
                properties,
                role,
                voters,
                host,
                namespace,
                port,
                controller_port,
                process,
            });
        }
        Ok(Cluster { dir, members, cluster_id: cluster_id()? })
    }

    /// Starts as many nodes as there are `kinds`, the first as the first of them and so on, and waits until every broker is let in.
    pub fn start(&mut self, world: &World, kinds: &[Kind]) -> Result<(), String> {
        for (member, kind) in self.members.iter_mut().zip(kinds) {
            member.launch(world, *kind, &self.cluster_id)?;
        }
        for process in self.members.iter_mut().filter_map(|member| member.process.as_mut()) {
            process.answers()?;
        }
        self.settle()
    }

    /// Starts one node that does not run, and waits for nothing but its first answer.
    pub fn launch_one(&mut self, world: &World, id: i32, kind: Kind) -> Result<(), String> {
        let cluster_id = self.cluster_id.clone();
        let member = self.member(id)?;
        member.launch(world, kind, &cluster_id)?;
        member.process()?.answers()
    }

    /// Starts a node on a directory of another cluster, and waits for nothing; the id of this cluster.
    pub fn start_stranger(
        &mut self,
        world: &World,
        id: i32,
        kind: Kind,
        cluster_id: &str,
    ) -> Result<String, String> {
        self.member(id)?.launch(world, kind, cluster_id)?;
        Ok(self.cluster_id.clone())
    }

    /// Starts a node whose directory is empty; whether it refused, and what it said.
    pub fn start_unformatted(
        &mut self,
        world: &World,
        id: i32,
        kind: Kind,
    ) -> Result<(bool, String), String> {
        let member = self.member(id)?;
        member.start(world, kind)?;
        let process = member.process.take().ok_or("it does not run")?;
        process.ends(Duration::from_secs(30))
    }

    /// Starts one node that does not run, and waits until its broker is let in.
    pub fn start_one(&mut self, world: &World, id: i32, kind: Kind) -> Result<(), String> {
        self.launch_one(world, id, kind)?;
        self.settle()
    }

    /// The node with this id.
    pub fn member(&mut self, id: i32) -> Result<&mut Member, String> {
        self.members.iter_mut().find(|member| member.id == id).ok_or_else(|| format!("there is no node {id}"))
    }

    fn running_brokers(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.role.is_broker() && member.process.is_some())
    }

    /// Where clients begin: every broker that runs.
    pub fn bootstrap(&self) -> String {
        let ports: Vec<String> = self.running_brokers().map(Member::address).collect();
        ports.join(",")
    }

    /// The listeners of the controllers.
    pub fn controllers(&self) -> String {
        let controllers = self.members.iter().filter(|member| member.role.is_controller());
        let ports: Vec<String> =
            controllers.map(|member| format!("{}:{}", member.host, member.controller_port)).collect();
        ports.join(",")
    }

    /// One broker.
    pub fn bootstrap_of(&mut self, id: i32) -> Result<String, String> {
        Ok(self.member(id)?.address())
    }

    /// Stops every node that runs, the controllers last.
    pub fn stop(&mut self) -> Result<(), String> {
        self.members.sort_by_key(|member| member.role.is_controller());
        self.members.iter_mut().filter(|member| member.process.is_some()).try_for_each(Member::stop)
    }

    /// Where clients begin, whether or not all brokers run.
    pub fn all_brokers(&self) -> String {
        let brokers = self.members.iter().filter(|member| member.role.is_broker());
        let ports: Vec<String> = brokers.map(Member::address).collect();
        ports.join(",")
    }

    /// Waits until clients are sent to every broker that runs, whichever they ask.
    pub fn settle(&self) -> Result<(), String> {
        let count = self.running_brokers().count();
        for member in self.running_brokers() {
            self.wait_for(&member.address(), None, |listed| {
                listed.lines().filter(|line| line.starts_with("  broker ")).count() == count
            })
            .map_err(|listed| format!("node {} lists other than {count} brokers: {listed}", member.id))?;
        }
        Ok(())
    }

    /// Creates a topic by Apache Kafka's tool.
    pub fn create_topic(&self, name: &str, partitions: u32, factor: u32) -> Result<(), String> {
        let (partitions, factor) = (partitions.to_string(), factor.to_string());
        let create =
            ["--create", "--topic", name, "--partitions", &partitions, "--replication-factor", &factor];
        program::run(&mut tool("kafka-topics", &self.bootstrap(), &create)?, &self.dir, "create")?.good()
    }

    /// The leader of a partition; none while there is none.
    pub fn leader(&self, topic: &str, partition: u32) -> Result<Option<i32>, String> {
        self.leader_by(&self.bootstrap(), topic, partition)
    }

    /// The same as those brokers have it.
    pub fn leader_by(&self, bootstrap: &str, topic: &str, partition: u32) -> Result<Option<i32>, String> {
        let listed = self.list(bootstrap, Some(topic))?;
        let line = format!("    partition {partition}, leader ");
        let rest = listed.lines().find_map(|listed| listed.strip_prefix(&line));
        Ok(rest
            .and_then(|rest| rest.split(',').next())
            .and_then(|id| id.parse().ok())
            .filter(|id: &i32| *id >= 0))
    }

    /// The leaders of the partitions of a topic.
    pub fn leaders(&self, topic: &str, partitions: u32) -> Result<Vec<i32>, String> {
        let leader = |partition| {
            self.leader(topic, partition)?.ok_or_else(|| format!("{topic}-{partition} has no leader"))
        };
        (0..partitions).map(leader).collect()
    }

    /// The brokers of a partition, in the order of its replicas.
    pub fn replicas(&self, topic: &str, partition: u32) -> Result<Vec<i32>, String> {
        let listed = self.list(&self.bootstrap(), Some(topic))?;
        let line = format!("    partition {partition}, leader ");
        let rest = listed.lines().find_map(|listed| listed.strip_prefix(&line)).unwrap_or_default();
        let replicas = rest.split("replicas: ").nth(1).and_then(|rest| rest.split(", isrs").next());
        let ids: Vec<i32> =
            replicas.unwrap_or_default().split(',').filter_map(|id| id.parse().ok()).collect();
        if ids.is_empty() { Err(format!("{topic}-{partition} has no replicas: {listed}")) } else { Ok(ids) }
    }

    /// The active controller, by Apache Kafka's tool.
    pub fn active_controller(&self) -> Result<i32, String> {
        let describe = ["describe", "--status"];
        let mut tool = tool("kafka-metadata-quorum", &self.bootstrap(), &describe)?;
        let said = program::run(&mut tool, &self.dir, "quorum")?.text()?;
        let id = said.lines().find_map(|line| line.strip_prefix("LeaderId:")).map(str::trim);
        id.and_then(|id| id.parse().ok()).ok_or_else(|| format!("there is no leader of the quorum: {said}"))
    }

    /// Waits until every replica of a topic is in sync.
    pub fn wait_in_sync(&self, topic: &str, factor: usize) -> Result<(), String> {
        self.wait_in_sync_by(&self.bootstrap(), topic, factor)
    }

    /// The same as those brokers have it.
    pub fn wait_in_sync_by(&self, bootstrap: &str, topic: &str, factor: usize) -> Result<(), String> {
        let in_sync = |listed: &str| {
            let mut partitions = listed.lines().filter(|line| line.starts_with("    partition ")).peekable();
            partitions.peek().is_some()
                && partitions.all(|line| {
                    line.split("isrs: ").nth(1).is_some_and(|isr| isr.split(',').count() == factor)
                })
        };
        self.wait_for(bootstrap, Some(topic), in_sync)
            .map_err(|listed| format!("{topic} does not come in sync: {listed}"))
    }

    /// What these brokers know of the brokers and of a topic, or of all.
    pub fn list(&self, bootstrap: &str, topic: Option<&str>) -> Result<String, String> {
        let mut list = kcat(bootstrap);
        list.arg("-L");
        if let Some(topic) = topic {
            list.args(["-t", topic]);
        }
        program::run(&mut list, &self.dir, "list")?.text()
    }

    fn wait_for(
        &self,
        bootstrap: &str,
        topic: Option<&str>,
        is_so: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let listed = self.list(bootstrap, topic).unwrap_or_else(|error| error);
            if is_so(&listed) {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(listed);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
