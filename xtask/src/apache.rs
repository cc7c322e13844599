//! Apache Kafka from its published jars: fetched by Maven, run by `java`. The oracle of `interop/`, of the golden
//! vectors and of the schema.

use crate::project;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A set of jars, by its folder below `interop/apache`.
#[derive(Clone, Copy)]
pub enum Jars {
    /// The broker, the controller and the Java client, 4.4.0.
    Broker,
    /// The command-line tools, 4.3.1.
    Tools,
    /// The metadata shell, 4.3.1.
    Shell,
    /// Kafka Streams with its client, 4.3.1.
    Streams,
}

impl Jars {
    fn folder(self) -> &'static str {
        match self {
            Jars::Broker => "broker",
            Jars::Tools => "tools",
            Jars::Shell => "shell",
            Jars::Streams => "streams",
        }
    }

    /// The directory with the jars; fetches them the first time.
    pub fn dir(self) -> Result<PathBuf, String> {
        let dir = project::target().join("apache-kafka").join(self.folder());
        let complete = dir.join(".complete");
        if !complete.exists() {
            project::make_dir(&dir)?;
            println!("fetching the jars of Apache Kafka ({}) to {}", self.folder(), dir.display());
            let pom = project::root().join("interop/apache").join(self.folder()).join("pom.xml");
            let mut maven = Command::new("mvn");
            maven.args(["-q", "-B", "-f"]).arg(pom).arg("dependency:copy-dependencies");
            maven.arg(format!("-DoutputDirectory={}", dir.display()));
            project::finish(&mut maven)?;
            project::write(&complete, "")?;
        }
        Ok(dir)
    }

    /// `java` with these jars on its class path and nothing else said.
    pub fn java(self) -> Result<Command, String> {
        let mut java = Command::new("java");
        java.arg("-cp").arg(self.dir()?.join("*"));
        Ok(java)
    }
}

/// The jars that carry message definitions, each with the name of its file in `crates/protocol/schema`.
pub const DEFINITIONS: [&str; 7] = [
    "clients",
    "metadata",
    "group-coordinator",
    "transaction-coordinator",
    "share-coordinator",
    "storage",
    "raft",
];

/// The text of every message definition inside the jar of one component, in the order of their paths.
pub fn message_definitions(component: &str) -> Result<Vec<String>, String> {
    let jars = Jars::Broker.dir()?;
    let prefix = format!("kafka-{component}-");
    let jar = std::fs::read_dir(&jars)
        .map_err(|error| error.to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            // kafka-storage-4.4.0.jar, and not kafka-storage-api-4.4.0.jar
            name.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
        .ok_or_else(|| format!("no jar of {component} in {}", jars.display()))?;
    let unpacked = project::target().join("apache-kafka/definitions").join(component);
    if unpacked.exists() {
        std::fs::remove_dir_all(&unpacked).map_err(|error| error.to_string())?;
    }
    project::make_dir(&unpacked)?;
    project::finish(Command::new("jar").arg("xf").arg(&jar).current_dir(&unpacked))?;
    let mut texts = Vec::new();
    for file in project::files_below(&unpacked)? {
        let folder = file.parent().and_then(Path::file_name).unwrap_or_default();
        if file.extension().is_some_and(|end| end == "json") && (folder == "message" || folder == "metadata")
        {
            texts.push(project::read(&file)?);
        }
    }
    Ok(texts)
}

/// The class of a command-line tool of Apache Kafka, by its usual name with or without `.sh`.
pub fn tool_class(name: &str) -> Result<&'static str, String> {
    let name = name.strip_suffix(".sh").unwrap_or(name);
    let class = match name.strip_prefix("kafka-").unwrap_or(name) {
        "topics" => "org.apache.kafka.tools.TopicCommand",
        "console-producer" => "org.apache.kafka.tools.ConsoleProducer",
        "console-consumer" => "org.apache.kafka.tools.consumer.ConsoleConsumer",
        "consumer-groups" => "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
        "streams-groups" => "org.apache.kafka.tools.streams.StreamsGroupCommand",
        "groups" => "org.apache.kafka.tools.GroupsCommand",
        "configs" => "kafka.admin.ConfigCommand",
        "producer-perf-test" => "org.apache.kafka.tools.ProducerPerformance",
        "consumer-perf-test" => "org.apache.kafka.tools.ConsumerPerformance",
        "get-offsets" => "org.apache.kafka.tools.GetOffsetShell",
        "delete-records" => "org.apache.kafka.tools.DeleteRecordsCommand",
        "broker-api-versions" => "org.apache.kafka.tools.BrokerApiVersionsCommand",
        "cluster" => "org.apache.kafka.tools.ClusterTool",
        "features" => "org.apache.kafka.tools.FeatureCommand",
        "log-dirs" => "org.apache.kafka.tools.LogDirsCommand",
        "metadata-quorum" => "org.apache.kafka.tools.MetadataQuorumCommand",
        "leader-election" => "org.apache.kafka.tools.LeaderElectionCommand",
        "reassign-partitions" => "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
        "replica-verification" => "org.apache.kafka.tools.ReplicaVerificationTool",
        "client-metrics" => "org.apache.kafka.tools.ClientMetricsCommand",
        "e2e-latency" => "org.apache.kafka.tools.EndToEndLatency",
        "verifiable-producer" => "org.apache.kafka.tools.VerifiableProducer",
        "verifiable-consumer" => "org.apache.kafka.tools.VerifiableConsumer",
        "log-compaction-tester" => "org.apache.kafka.tools.LogCompactionTester",
        "dump-log" => "org.apache.kafka.tools.DumpLogSegments",
        "metadata-shell" => "org.apache.kafka.shell.MetadataShell",
        "storage" => "kafka.tools.StorageTool",
        other => return Err(format!("no tool of Apache Kafka is called {other}")),
    };
    Ok(class)
}

/// A command-line tool of Apache Kafka by its usual name, with or without `.sh`.
pub fn tool(name: &str) -> Result<Command, String> {
    let class = tool_class(name)?;
    let mut java = match class {
        // The shell of 4.3.1 on the libraries of 4.4, whose metadata it is to read.
        "org.apache.kafka.shell.MetadataShell" => {
            let (newer, own) = (Jars::Broker.dir()?.join("*"), Jars::Shell.dir()?.join("*"));
            let mut java = Command::new("java");
            java.arg("-cp").arg(format!("{}:{}", newer.display(), own.display()));
            java
        }
        _ => Jars::Tools.java()?,
    };
    java.args(["-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", class]);
    Ok(java)
}
