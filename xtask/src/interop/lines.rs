//! Real text to send: the logs of this machine, then the sources that Cargo keeps, line by line.

use super::World;
use crate::project;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file of exactly this many lines. None is empty, past 4,000 bytes, not UTF-8 or with a carriage return inside:
/// what a line is would then depend on the tool.
pub fn file(world: &World, count: usize) -> Result<PathBuf, String> {
    let path = world.dir().join(format!("lines-{count}.txt"));
    if path.exists() && world.lines.is_none() {
        return Ok(path);
    }
    project::make_dir(&world.dir())?;
    let sources = match &world.lines {
        Some(file) => vec![file.clone()],
        None => [PathBuf::from("/var/log"), cargo_sources(), project::root()]
            .iter()
            .filter_map(|dir| project::files_below(dir).ok())
            .flatten()
            .filter(|path| path.extension().is_some_and(|end| end == "log" || end == "rs" || end == "md"))
            .collect(),
    };
    let unfinished = path.with_extension("unfinished");
    let mut out = BufWriter::new(std::fs::File::create(&unfinished).map_err(|error| error.to_string())?);
    let mut written = 0;
    while written < count {
        let before = written;
        for source in &sources {
            written += copy(source, &mut out, count - written).map_err(|error| error.to_string())?;
        }
        if written == before {
            return Err("there are no lines to send: name a file with --lines".to_owned());
        }
    }
    out.flush().map_err(|error| error.to_string())?;
    std::fs::rename(&unfinished, &path).map_err(|error| error.to_string())?;
    Ok(path)
}

fn copy(from: &Path, out: &mut impl Write, most: usize) -> std::io::Result<usize> {
    // A log that only its owner may read is passed over.
    let Ok(bytes) = std::fs::read(from) else { return Ok(0) };
    let good = |line: &&[u8]| {
        !line.is_empty() && line.len() <= 4000 && !line.contains(&b'\r') && std::str::from_utf8(line).is_ok()
    };
    let mut written = 0;
    for line in bytes.split(|byte| *byte == b'\n').filter(good).take(most) {
        out.write_all(line)?;
        out.write_all(b"\n")?;
        written += 1;
    }
    Ok(written)
}

fn cargo_sources() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    home.unwrap_or_default().join("registry/src")
}
