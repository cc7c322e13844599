//! Three nodes on one machine, each broker and controller.

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Failure, Result,
    load::Target,
    measure::process::Servers,
    suite::system::{Running, System, free_port},
    wire::{connection::Connection, replies::PartitionState},
};

/// What a cluster may take to become whole.
const LIMIT: Duration = Duration::from_secs(120);
const ASK_EVERY: Duration = Duration::from_millis(10);

struct Node {
    dir: PathBuf,
    port: u16,
    properties: String,
    running: Option<Running>,
}

/// A cluster of nodes 1, 2 and 3. Dropping it stops them.
pub struct Cluster {
    system: System,
    nodes: Vec<Node>,
}

impl Cluster {
    /// Starts the nodes below `dir` and waits until all brokers are let in.
    pub fn start(system: &System, dir: &Path) -> Result<Self> {
        let mut ports = Vec::new();
        for _ in 0..3 {
            // The port after it is the controller's.
            ports.push(free_port()?);
        }
        let voters: Vec<String> =
            (1..).zip(&ports).map(|(id, port)| format!("{id}@127.0.0.1:{}", port + 1)).collect();
        let nodes = (1..)
            .zip(&ports)
            .map(|(id, &port)| {
                let dir = dir.join(format!("node-{id}"));
                Node { properties: properties(id, &dir, port, &voters.join(",")), dir, port, running: None }
            })
            .collect();
        let mut cluster = Self { system: system.clone(), nodes };
        for id in 1..=3 {
            cluster.launch(id)?;
        }
        for node in &mut cluster.nodes {
            node.running.as_mut().map_or(Ok(()), Running::wait_for_answer)?;
        }
        cluster.wait(LIMIT, "three brokers", |connection| Ok(connection.metadata(None)?.brokers == 3))?;
        Ok(cluster)
    }

    fn node(&mut self, id: i32) -> Result<&mut Node> {
        let index = usize::try_from(id - 1).unwrap_or(usize::MAX);
        self.nodes.get_mut(index).ok_or_else(|| Failure::new(format!("there is no node {id}")))
    }

    /// Starts a node that does not run, and waits for nothing.
    pub fn launch(&mut self, id: i32) -> Result<()> {
        let system = self.system.clone();
        let node = self.node(id)?;
        node.running = Some(system.spawn_node(&node.dir, node.port, &node.properties)?);
        Ok(())
    }

    /// SIGTERM to a node; waits for its end.
    pub fn stop(&mut self, id: i32) -> Result<()> {
        self.node(id)?.running.take().map_or(Ok(()), |mut running| running.stop())
    }

    /// SIGKILL to a node.
    pub fn kill(&mut self, id: i32) -> Result<()> {
        self.node(id)?.running.take().map_or(Ok(()), |mut running| running.kill())
    }

    /// SIGTERM to all, at once: one after the other would have the last ones wait for a quorum.
    pub fn stop_all(&mut self) -> Result<()> {
        let running: Vec<Running> = self.nodes.iter_mut().filter_map(|node| node.running.take()).collect();
        thread::scope(|scope| {
            let stopping: Vec<_> =
                running.into_iter().map(|mut node| scope.spawn(move || node.stop())).collect();
            stopping
                .into_iter()
                .try_for_each(|node| node.join().unwrap_or_else(|_| Err(Failure::new("a stop panicked"))))
        })
    }

    /// The brokers' addresses, of those that run and those that do not.
    pub fn addresses(&self) -> Vec<std::net::SocketAddr> {
        self.nodes.iter().map(|node| ([127, 0, 0, 1], node.port).into()).collect()
    }

    /// The processes; unknown while one of them does not run.
    pub fn servers(&self) -> Servers {
        let pids: Vec<u32> =
            self.nodes.iter().filter_map(|node| node.running.as_ref()).map(Running::pid).collect();
        <[u32; 3]>::try_from(pids).map(Servers::cluster).unwrap_or_default()
    }

    /// Resident memory of all of them, in megabytes.
    pub fn resident_mb(&self) -> Result<f64> {
        Ok(self.servers().resident_bytes()?.map_or(f64::NAN, |bytes| bytes as f64 / 1e6))
    }

    /// A connection to some broker that answers.
    pub fn connect(&self) -> Result<Connection> {
        let running = self.nodes.iter().filter_map(|node| node.running.as_ref());
        let mut last = Failure::new("no node runs");
        for node in running {
            match Connection::open(node.address) {
                Ok(connection) => return Ok(connection),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    /// Asks until it is so.
    pub fn wait(
        &self,
        limit: Duration,
        what: &str,
        mut is_so: impl FnMut(&mut Connection) -> Result<bool>,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        let mut connection = self.connect()?;
        while !is_so(&mut connection)? {
            if Instant::now() > deadline {
                return Err(Failure::new(format!("{what}: not so after {} s", limit.as_secs())));
            }
            thread::sleep(ASK_EVERY);
        }
        Ok(())
    }

    /// Waits until each partition of a topic has a leader and three replicas in sync, and its leader answers.
    pub fn wait_in_sync(&self, topic: &str, partitions: usize) -> Result<()> {
        let whole = |partition: &PartitionState| partition.leader.is_some() && partition.in_sync == 3;
        self.wait(LIMIT, &format!("{topic} is in sync"), |connection| {
            let found = connection.metadata(Some(topic))?.partitions;
            Ok(found.len() == partitions && found.iter().all(whole))
        })
    }

    /// Waits until each partition's leader answers what its offsets are: a broker may name leaders whose logs are still to be made.
    pub fn wait_until_served(&mut self, topic: &str) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        let found = self.connect()?.metadata(Some(topic))?.partitions;
        for id in 1..=3 {
            let mut connection = Connection::open(([127, 0, 0, 1], self.node(id)?.port).into())?;
            for partition in found.iter().filter(|partition| partition.leader == Some(id)) {
                connection.await_partition(topic, partition.index, deadline)?;
            }
        }
        Ok(())
    }

    /// The node that leads a partition.
    pub fn leader(&self, topic: &str, partition: i32) -> Result<i32> {
        let found = self.connect()?.metadata(Some(topic))?.partitions;
        found
            .iter()
            .find(|found| found.index == partition)
            .and_then(|found| found.leader)
            .ok_or_else(|| Failure::new(format!("{topic}-{partition} has no leader")))
    }

    /// The leader of partition 0, and all processes.
    pub fn target(&mut self, topic: &str) -> Result<Target> {
        let leader = self.leader(topic, 0)?;
        let address = ([127, 0, 0, 1], self.node(leader)?.port).into();
        // The broker may hear that it leads a little later than the one that said so.
        let deadline = Instant::now() + LIMIT;
        Connection::open(address)?.await_partition(topic, 0, deadline)?;
        Ok(Target { address, servers: self.servers() })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(failure) = self.stop_all() {
            eprintln!("bench: {failure}");
        }
    }
}

fn properties(id: i32, dir: &Path, port: u16, voters: &str) -> String {
    format!(
        "process.roles=broker,controller\n\
         node.id={id}\n\
         controller.quorum.voters={voters}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         inter.broker.listener.name=PLAINTEXT\n\
         log.dirs={}\n\
         min.insync.replicas=2\n\
         log.segment.delete.delay.ms=1000\n",
        port + 1,
        dir.join("data").display()
    )
}
