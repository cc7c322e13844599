//! Turns `schema/*.schema` into Rust: one module a message, in `OUT_DIR/messages.rs`.

mod emit;
mod parse;

use std::path::Path;

/// The files in the order in which their messages are listed.
const SCHEMAS: [&str; 7] = [
    "clients",
    "metadata",
    "group-coordinator",
    "transaction-coordinator",
    "share-coordinator",
    "storage",
    "raft",
];

fn main() {
    println!("cargo::rerun-if-changed=schema");
    println!("cargo::rerun-if-changed=build");
    let mut messages = Vec::new();
    let mut metadata = Vec::new();
    for name in SCHEMAS {
        let path = format!("schema/{name}.schema");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let parsed = parse::parse(&text);
        if name == "metadata" {
            metadata = parsed.iter().map(|message| message.name.clone()).collect();
        }
        messages.extend(parsed);
    }
    let out = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    let path = Path::new(&out).join("messages.rs");
    std::fs::write(path, emit::emit(&messages, &metadata)).expect("the generated code can be written");
}
