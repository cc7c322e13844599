//! `cargo xtask ci`: what CI runs, in its order. `cargo xtask simulate`: the simulator. `cargo xtask bench`: the suite of the load
//! generator.

use crate::{interop, project, tidy};
use std::path::PathBuf;
use std::time::Instant;

/// Tests, formatting, clippy, tidy, the interop smoke. Stops at the first that fails.
pub fn ci() -> Result<(), String> {
    let started = Instant::now();
    type Step<'a> = (&'a str, &'a dyn Fn() -> Result<(), String>);
    let steps: [Step<'_>; 5] = [
        ("tests", &|| {
            project::run("cargo", &["test"])?;
            project::run("cargo", &["test", "--package", "xtask", "--package", "bench"])
        }),
        ("formatting", &|| {
            project::run("cargo", &["fmt", "--all", "--check"])?;
            // Workspaces of their own; more of them is not looked at, since one wants librdkafka built and the other a nightly compiler.
            for manifest in ["bench/client/Cargo.toml", "fuzz/Cargo.toml"] {
                project::run("cargo", &["fmt", "--manifest-path", manifest, "--check"])?;
            }
            Ok(())
        }),
        ("clippy", &|| {
            project::run("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
        }),
        ("tidy", &|| tidy::check(&project::root()).map(|report| println!("{report}"))),
        ("interop smoke", &|| interop::run(&["smoke".to_owned()])),
    ];
    for (name, step) in steps {
        println!("\n==== {name} (after {} s)", started.elapsed().as_secs());
        step().map_err(|error| format!("{name}: {error}"))?;
    }
    println!("\n==== all passed in {} s", started.elapsed().as_secs());
    Ok(())
}

/// Runs the simulator, optimised; the options are its own.
pub fn simulate(arguments: &[String]) -> Result<(), String> {
    let mut command = vec!["run", "--profile", "quick", "--quiet", "--package", "simulator", "--"];
    command.extend(arguments.iter().map(String::as_str));
    project::run("cargo", &command)
}

/// Builds milena, and our client and librdkafka in one program, and lets them take turns; the options are its own.
fn bench_client(arguments: &[String]) -> Result<(), String> {
    let milena = project::build("milena")?.display().to_string();
    let program = build_client_bench()?;
    let page = project::root().join("docs/performance/clients.md").display().to_string();
    let own = format!("cargo xtask bench {}", arguments.join(" "));
    let mut command = vec!["suite", "--milena", &milena, "--command", &own];
    for argument in arguments {
        match argument.as_str() {
            "--client" => {}
            "--record" => command.extend(["--out", &page]),
            argument => command.push(argument),
        }
    }
    project::run(&program, &command)
}

/// Builds what measures clients, which has a workspace of its own.
fn build_client_bench() -> Result<String, String> {
    let manifest = project::root().join("bench/client/Cargo.toml").display().to_string();
    let target = project::target();
    let dir = target.display().to_string();
    project::run("cargo", &["build", "--release", "--manifest-path", &manifest, "--target-dir", &dir])?;
    Ok(target.join("release/bench-client").display().to_string())
}

/// Builds milena and the load generator in release mode and runs the suite. `--apache` adds Apache Kafka to the systems,
/// `--record` puts the tables and plots into `docs/performance`; everything else goes to the suite as it stands. `--client` measures clients instead.
pub fn bench(arguments: &[String]) -> Result<(), String> {
    if arguments.iter().any(|argument| argument == "--client") {
        return bench_client(arguments);
    }
    let milena = project::build("milena")?.display().to_string();
    let bench = project::build("bench")?.display().to_string();
    let xtask = std::env::current_exe().map_err(|error| error.to_string())?;
    let apache = format!("{} apache-server {{dir}} {{port}}", xtask.display());
    let apache_tool = format!("{} apache-tool {{tool}}", xtask.display());
    let apache_node = format!("{} apache-node {{dir}} {{properties}} {{cluster}}", xtask.display());
    let docs = project::root().join("docs/performance").display().to_string();
    let command = format!("cargo xtask bench {}", arguments.join(" "));
    let wants = |part| arguments.iter().any(|argument| argument == part || argument == "--all");
    let own = if wants("--hostile") { OwnFileSystem::mount() } else { None };
    let own_path = own.as_ref().map(|own| own.path.display().to_string());
    let librdkafka = if wants("--user") { Some(build_client_bench()?) } else { None };
    let mut suite = vec!["suite", "--milena", &milena];
    if let Some(program) = &librdkafka {
        suite.extend(["--librdkafka", program]);
    }
    if let Some(path) = &own_path {
        suite.extend(["--freeze", path]);
    }
    for argument in arguments {
        if argument == "--apache" {
            suite.extend(["--apache", &apache, "--apache-node", &apache_node, "--apache-tool", &apache_tool]);
        } else if argument == "--record" {
            suite.extend(["--out", &docs, "--command", &command]);
        } else {
            suite.push(argument);
        }
    }
    project::run(&bench, &suite)
}

/// A file system in a file, which can be frozen without harm to anybody. Gone with this.
struct OwnFileSystem {
    path: PathBuf,
    image: PathBuf,
}

impl OwnFileSystem {
    /// None where the system does not let us.
    fn mount() -> Option<OwnFileSystem> {
        let base = project::root().join("target");
        let own = OwnFileSystem { path: base.join("bench-disk"), image: base.join("bench-disk.img") };
        let (path, image) = (own.path.display().to_string(), own.image.display().to_string());
        let made = std::fs::create_dir_all(&own.path).map_err(|error| error.to_string()).and_then(|()| {
            project::run("truncate", &["-s", "1G", &image])?;
            project::run("mkfs.ext4", &["-q", "-F", &image])?;
            project::run("mount", &["-o", "loop", &image, &path])
        });
        match made {
            Ok(()) => Some(own),
            Err(error) => {
                eprintln!("no file system of its own for a disk that stalls (it takes root): {error}");
                None
            }
        }
    }
}

impl Drop for OwnFileSystem {
    fn drop(&mut self) {
        if let Err(error) = project::run("umount", &[&self.path.display().to_string()]) {
            eprintln!("{} stays mounted: {error}", self.path.display());
        }
        // An image that stays is made anew next time.
        drop(std::fs::remove_file(&self.image));
    }
}
