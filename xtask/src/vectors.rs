//! `cargo xtask vectors` and `cargo xtask schema`: what the repository keeps of Apache Kafka's published definitions.

use crate::{apache, project, schema};

/// Remakes the golden bytes in `crates/protocol/tests/vectors`.
pub fn vectors() -> Result<(), String> {
    let out = project::root().join("crates/protocol/tests/vectors");
    project::make_dir(&out)?;
    for (program, file) in [("MessageVectors.java", "messages.bin")] {
        let mut java = apache::Jars::Broker.java()?;
        java.arg(project::root().join("interop/apache").join(program)).arg(out.join(file));
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
