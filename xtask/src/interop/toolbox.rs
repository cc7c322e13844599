//! Other people's programs, each fetched or built the first time a case asks for it.

use super::World;
use crate::{apache, project};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// kcat (librdkafka's command line). It comes from the system's packages.
pub fn kcat(bootstrap: &str) -> Command {
    let mut kcat = Command::new("kcat");
    kcat.args(["-b", bootstrap, "-X", "broker.address.family=v4"]);
    kcat
}

/// kcat reading one partition of a topic from its beginning to its end, formatted.
pub fn kcat_read(bootstrap: &str, topic: &str, partition: u32, format: &str) -> Command {
    let mut kcat = kcat(bootstrap);
    kcat.args(["-C", "-q", "-e", "-o", "beginning", "-t", topic, "-p", &partition.to_string(), "-f", format]);
    kcat
}

/// kcat writing the lines of its input to partition 0 of a topic, in order, each once.
pub fn kcat_write(bootstrap: &str, topic: &str, codec: &str) -> Command {
    let mut kcat = kcat(bootstrap);
    kcat.args(["-P", "-t", topic, "-p", "0", "-z", codec, "-X", "enable.idempotence=true"]);
    kcat.args(["-X", "queue.buffering.max.messages=500000", "-X", "linger.ms=20"]);
    kcat
}

/// A Python program of `interop/`, in an environment with confluent-kafka.
pub fn python(world: &World, program: &str) -> Result<Command, String> {
    let venv = world.dir().join("venv");
    let complete = venv.join(".complete");
    if !complete.exists() {
        println!("making {} with confluent-kafka", venv.display());
        project::make_dir(&world.dir())?;
        project::finish(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let requirements = project::root().join("interop/confluent-kafka-python/requirements.txt");
        project::finish(
            Command::new(venv.join("bin/pip"))
                .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
                .arg(requirements),
        )?;
        project::write(&complete, "")?;
    }
    let mut python = Command::new(venv.join("bin/python"));
    python.arg("-u").arg(project::root().join("interop").join(program));
    Ok(python)
}

/// The Go program in a folder of `interop/`.
pub fn go(world: &World, folder: &str) -> Result<Command, String> {
    let binary = world.dir().join("bin").join(folder);
    project::finish(
        Command::new("go")
            .args(["build", "-o"])
            .arg(&binary)
            .arg(".")
            .current_dir(project::root().join("interop").join(folder)),
    )?;
    Ok(Command::new(binary))
}

/// A Node.js program of `interop/`, with KafkaJS to require.
pub fn node(world: &World, program: &str) -> Result<Command, String> {
    let dir = world.dir().join("node");
    let complete = dir.join(".complete");
    if !complete.exists() {
        println!("making {} with KafkaJS", dir.display());
        project::make_dir(&dir)?;
        let wanted = project::read(&project::root().join("interop/kafkajs/package.json"))?;
        project::write(&dir.join("package.json"), wanted)?;
        let install = ["install", "--silent", "--no-package-lock", "--no-audit", "--no-fund"];
        project::finish(Command::new("npm").args(install).current_dir(&dir))?;
        project::write(&complete, "")?;
    }
    let mut node = Command::new("node");
    node.env("NODE_PATH", dir.join("node_modules")).arg(project::root().join("interop").join(program));
    Ok(node)
}

/// The member of a group on milena's own client, built for debugging, as the tests have it.
pub fn own_member() -> Result<Command, String> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            let build = ["build", "--quiet", "--package", "client", "--example", "member"];
            project::finish(Command::new("cargo").args(build).current_dir(project::root()))
        })
        .clone()?;
    Ok(Command::new(project::target().join("debug/examples/member")))
}

/// A Java program of `interop/`, with Apache Kafka's own client on its class path.
pub fn java(program: &str) -> Result<Command, String> {
    let mut java = apache::Jars::Broker.java()?;
    java.args(["-Xmx512m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]);
    java.arg(project::root().join("interop").join(program));
    Ok(java)
}

/// A Java program of `interop/` that is started often: compiled once, and with as little of a JVM as it needs.
pub fn java_class(world: &World, program: &str) -> Result<Command, String> {
    let source = project::root().join("interop").join(program);
    let name = source.file_stem().ok_or("a program without a name")?.to_owned();
    let classes = world.dir().join("classes");
    let jars = apache::Jars::Broker.dir()?.join("*");
    let modified = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    let class = classes.join(&name).with_extension("class");
    if modified(&class).is_none_or(|class| modified(&source).is_none_or(|source| source > class)) {
        project::make_dir(&classes)?;
        project::finish(Command::new("javac").arg("-cp").arg(&jars).arg("-d").arg(&classes).arg(&source))?;
    }
    let mut java = Command::new("java");
    java.arg("-cp").arg(format!("{}:{}", classes.display(), jars.display()));
    java.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    java.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn").arg(name);
    Ok(java)
}

/// A command-line tool of Apache Kafka that is told where the broker is.
pub fn tool(name: &str, bootstrap: &str, arguments: &[&str]) -> Result<Command, String> {
    let mut tool = apache::tool(name)?;
    tool.args(["--bootstrap-server", bootstrap]).args(arguments);
    Ok(tool)
}

/// Makes milena's tools under Kafka's names in a directory, and returns the directory.
pub fn milena_tools(world: &World, case: &str) -> Result<PathBuf, String> {
    let dir = world.dir().join(case).join("tools");
    project::finish(Command::new(world.milena()?).arg("install-tools").arg(&dir))?;
    Ok(dir)
}
