//! `cargo xtask vectors` and `cargo xtask schema`: what the repository keeps of Apache Kafka's published definitions.

use crate::{apache, project, schema};

/// Remakes the golden bytes in `crates/protocol/tests/vectors`.
pub fn vectors() -> Result<(), String> {
    let root = project::root();
    let out = root.join("crates/protocol/tests/vectors");
    for (program, file) in [
        (root.join("interop/apache/MessageVectors.java"), out.join("messages.bin")),
        (out.join("RecordVectors.java"), out.join("records")),
    ] {
        let mut java = apache::Jars::Broker.java()?;
        java.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn").arg(program).arg(file);
        project::finish(&mut java)?;
    }
    Ok(())
}

/// Remakes `crates/protocol/schema/*.schema` from the definitions inside the jars.
pub fn schema() -> Result<(), String> {
    let out = project::root().join("crates/protocol/schema");
    project::make_dir(&out)?;
    for component in apache::DEFINITIONS {
        let definitions = apache::message_definitions(component)?;
        println!("{component}: {} definitions", definitions.len());
        project::write(&out.join(format!("{component}.schema")), schema::convert(&definitions)?)?;
    }
    Ok(())
}
