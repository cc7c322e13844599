//! What no compiler checks: how long files are, which crate may depend on which, words that have no place here, links.
//! `cargo xtask tidy` runs it, and so does `cargo test`, by `crates/milena/tests/tidy.rs`: it needs nothing but std.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines that a file of Rust may have. Most should have half of it.
const LONGEST_FILE: usize = 800;

/// The crates from the bottom up: each may depend on those before it, and on no other.
const ORDER: [&str; 18] = [
    "common",
    "io",
    "config",
    "protocol",
    "security",
    "network",
    "storage",
    "metadata",
    "raft",
    "controller",
    "replica",
    "coordinator",
    "group",
    "transaction",
    "share",
    "simulator",
    "server",
    "milena",
];

/// Beside that order: the public client and what stands on it. They depend on no crate of the server.
const CLIENT_SIDE: [(&str, &[&str]); 2] = [
    ("client", &["common", "config", "protocol", "network"]),
    ("console", &["common", "config", "protocol", "client"]),
];

/// Crates of decisions: time is an argument, and there is no runtime, socket or thread.
const NO_RUNTIME: [&str; 10] = [
    "common",
    "io",
    "config",
    "protocol",
    "metadata",
    "raft",
    "controller",
    "coordinator",
    "group",
    "storage",
];

/// Words in source and prose that promise instead of doing, or speak of one machine.
const FORBIDDEN: [&str; 9] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[ig", "nore"),
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("../sha", "red"),
];

/// Looks at everything; a line of counts, or all that is wrong.
pub fn check(root: &Path) -> Result<String, String> {
    let mut problems = Vec::new();
    let files = files(root)?;
    let (mut lines, mut links) = (0, 0);
    for file in &files {
        // A file that is not text is a vector.
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        let name = file.strip_prefix(root).unwrap_or(file).display().to_string();
        let end = file.extension().unwrap_or_default();
        if end == "rs" {
            let count = text.lines().count();
            lines += count;
            if count > LONGEST_FILE {
                problems.push(format!("{name}: {count} lines: split it"));
            }
        }
        if end == "md" {
            links += check_links(root, file, &text, &mut problems);
        }
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = FORBIDDEN.iter().find(|word| line.contains(**word)) {
                problems.push(format!("{name}:{}: {word} has no place here", number + 1));
            }
        }
    }
    check_layers(root, &mut problems)?;
    if problems.is_empty() {
        Ok(format!("tidy: {} files, {lines} lines of Rust, {links} links", files.len()))
    } else {
        Err(format!("not tidy:\n{}", problems.join("\n")))
    }
}

/// The files of the repository: what Git tracks, or, in a copy without Git, all that is neither hidden nor built.
fn files(root: &Path) -> Result<Vec<PathBuf>, String> {
    let tracked = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output();
    let mut files: Vec<PathBuf> = match tracked {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            let names = String::from_utf8_lossy(&output.stdout).into_owned();
            names.split_terminator('\0').map(|name| root.join(name)).collect()
        }
        _ => walk(root)?,
    };
    // Not written by us, though kept.
    files.retain(|path| !path.ends_with("Cargo.lock") && !path.ends_with("go.sum"));
    files.sort();
    Ok(files)
}

fn walk(root: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(dir) = pending.pop() {
        let entries = std::fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let built = ["target", "data", "corpus", "artifacts"].contains(&name.as_str());
            if path.is_dir() && !built && !name.starts_with('.') {
                pending.push(path);
            } else if path.is_file() {
                files.push(path);
            }
        }
    }
    Ok(files)
}

/// Every link of a page to a file leads to one, and a line that it names is there. How many links there are.
fn check_links(root: &Path, page: &Path, text: &str, problems: &mut Vec<String>) -> usize {
    let mut count = 0;
    for (number, line) in text.lines().enumerate() {
        for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with('#') || link.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = page.parent().unwrap_or(root).join(path);
            let wrong = match std::fs::read_to_string(&target) {
                _ if target.is_dir() => false,
                Err(_) => !target.is_file(),
                Ok(text) => {
                    let line = anchor.strip_prefix('L').and_then(|line| line.parse::<usize>().ok());
                    line.is_some_and(|line| line > text.lines().count())
                }
            };
            if wrong {
                let page = page.strip_prefix(root).unwrap_or(page).display();
                problems.push(format!("{page}:{}: the link {link} leads nowhere", number + 1));
            }
        }
    }
    count
}

/// Edges between crates go down only, and crates of decisions have no runtime.
fn check_layers(root: &Path, problems: &mut Vec<String>) -> Result<(), String> {
    let crates = root.join("crates");
    let entries = std::fs::read_dir(&crates).map_err(|error| format!("{}: {error}", crates.display()))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    for name in &names {
        let manifest = std::fs::read_to_string(crates.join(name).join("Cargo.toml"));
        let manifest = manifest.map_err(|error| format!("crates/{name}/Cargo.toml: {error}"))?;
        let place = ORDER.iter().position(|known| known == name);
        let client = CLIENT_SIDE.iter().find(|(known, _)| known == name);
        for dependency in dependencies(&manifest) {
            let ours = names.iter().any(|known| *known == dependency);
            let allowed = match (place, client) {
                // The binary wires both sides; every other crate of the server leaves the client alone.
                (Some(place), _) => {
                    ORDER[..place].contains(&dependency)
                        || name == "milena" && CLIENT_SIDE.iter().any(|(known, _)| *known == dependency)
                }
                (None, Some((_, allowed))) => allowed.contains(&dependency),
                (None, None) => {
                    problems.push(format!(
                        "crates/{name} has no place in the order: give it one in xtask/src/tidy.rs"
                    ));
                    break;
                }
            };
            if ours && !allowed {
                problems.push(format!("crates/{name} may not depend on {dependency}: edges go down only"));
            }
            if dependency == "tokio" && NO_RUNTIME.contains(&name.as_str()) {
                problems.push(format!("crates/{name} may not depend on tokio: its code names no runtime"));
            }
        }
    }
    Ok(())
}

/// The names in `[dependencies]`; those of tests are free.
fn dependencies(manifest: &str) -> Vec<&str> {
    let section = manifest.lines().skip_while(|line| line.trim() != "[dependencies]").skip(1);
    let section = section.take_while(|line| !line.starts_with('['));
    section
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.split(['.', '=', ' ']).next().filter(|name| !name.is_empty()))
        .collect()
}
