//! `milena server-start [server.properties]`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use config::{BrokerConfig, Environment, Properties};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::memory;
use crate::report::failure;

/// How long threads that were needed beside those which serve connections wait for more to do: each keeps some hundred KiB of memory.
const IDLE_THREADS: Duration = Duration::from_secs(1);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The configuration; without it a single node on port 9092 with its data in ./data
    #[arg(value_name = "server.properties")]
    file: Option<PathBuf>,
    /// Set a key in the place of what the file says; may be given several times
    #[arg(long = "override", value_name = "property=value", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    overrides: Vec<String>,
    /// Go on in the background, with the output in logs/kafkaServer.out
    #[arg(long)]
    daemon: bool,
}

pub(crate) fn run(arguments: Arguments) -> ExitCode {
    if arguments.daemon {
        return daemonize();
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    let config = match configure(&arguments) {
        Ok(config) => config,
        Err(error) => return failure(error),
    };
    allow_open_files();
    memory::configure();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    // One more than processors: two may be in a write at once before one has to hand over what it would serve next, in case the
    // disk stalls. With two in all, small batches of several connections cost a fifth more.
    let threads = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2)) + 1;
    builder.worker_threads(threads).thread_keep_alive(IDLE_THREADS).enable_all().thread_name("network");
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => return failure(format_args!("the threads of the broker cannot be started: {error}")),
    };
    let code = runtime.block_on(serve(config));
    // Housekeeping that still runs has nothing to lose: the logs are closed.
    runtime.shutdown_background();
    code
}

/// Takes as many descriptors as the system allows, as a JVM does: what a shell or a service gets at first, mostly 1024, is too
/// few for a broker's connections and segments.
fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::warn!("the limit of open files stays at {:?}: {error}", limit.current);
    }
}

fn configure(arguments: &Arguments) -> Result<BrokerConfig, config::ConfigError> {
    let mut properties = match &arguments.file {
        Some(file) => Properties::read(file)?,
        None => Properties::none(),
    };
    for assignment in &arguments.overrides {
        properties.add_override(assignment)?;
    }
    let (config, warnings) = BrokerConfig::from_properties(&properties, Environment::default())?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(config)
}

async fn serve(config: BrokerConfig) -> ExitCode {
    // Before the start, so that a signal during it is not lost.
    let signals = signal(SignalKind::terminate())
        .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
    let (mut terminate, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => return failure(format_args!("signals cannot be caught: {error}")),
    };
    let node_id = config.node_id;
    let greeting = Greeting::of(&config);
    // A broker waits for its quorum: it can be stopped meanwhile.
    let started = tokio::select! {
        started = server::start(config) => started,
        _ = terminate.recv() => return ExitCode::SUCCESS,
        _ = interrupt.recv() => return ExitCode::SUCCESS,
    };
    let mut server = match started {
        Ok(server) => server,
        Err(error) => return failure(error),
    };
    greeting.print(&server);
    // The line by which scripts know from Apache Kafka that the broker is up.
    tracing::info!("[KafkaRaftServer nodeId={node_id}] Kafka Server started");
    memory::release_start();
    let fault = loop {
        tokio::select! {
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            error = server.failed() => break Some(error),
            () = tokio::time::sleep(memory::GIVE_BACK_EVERY) => {
                server.trim_memory(memory::give_back_all);
                memory::give_back();
            }
        }
    };
    if let Some(error) = &fault {
        tracing::error!("the broker stops: {error}");
    } else {
        tracing::info!("stopping");
    }
    match (server.stop().await, fault) {
        (Err(error), _) => failure(error),
        (Ok(()), Some(_)) => ExitCode::FAILURE,
        (Ok(()), None) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
    }
}

/// What a person wants to know when a broker is up.
struct Greeting {
    advertised: Vec<String>,
    data: Vec<String>,
    bootstrap: Option<String>,
}

impl Greeting {
    fn of(config: &BrokerConfig) -> Greeting {
        let data = config
            .log_dirs
            .iter()
            .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string())
            .collect();
        Greeting {
            advertised: config.listeners.iter().map(ToString::to_string).collect(),
            data,
            bootstrap: config
                .advertised_listeners
                .first()
                .map(|endpoint| format!("{}:{}", endpoint.host, endpoint.port)),
        }
    }

    fn print(&self, server: &server::RunningServer) {
        println!(
            "milena {} is up, cluster {}, {} topics",
            env!("CARGO_PKG_VERSION"),
            server.cluster_id(),
            server.topic_count()
        );
        println!("  listens on  {}", self.advertised.join(", "));
        println!("  data in     {}", self.data.join(", "));
        // A controller alone serves no clients.
        let Some(bootstrap) = &self.bootstrap else { return };
        println!("  try next    milena topics --bootstrap-server {bootstrap} --create --topic hello");
        println!("              milena console-producer --bootstrap-server {bootstrap} --topic hello");
        println!(
            "              milena console-consumer --bootstrap-server {bootstrap} --topic hello --from-beginning"
        );
    }
}

/// Starts this program once more without the flag, on its own, and leaves.
fn daemonize() -> ExitCode {
    use std::os::unix::process::CommandExt;
    let start = || -> std::io::Result<u32> {
        std::fs::create_dir_all("logs")?;
        let out = std::fs::OpenOptions::new().create(true).append(true).open("logs/kafkaServer.out")?;
        let arguments =
            std::env::args_os().skip(1).filter(|argument| argument != "-daemon" && argument != "--daemon");
        let mut command = std::process::Command::new(std::env::current_exe()?);
        // The program's own name, whatever link it was called by.
        command.arg0("milena");
        let mut arguments: Vec<_> = arguments.collect();
        if arguments.first().is_none_or(|first| first != "server-start") {
            arguments.insert(0, "server-start".into());
        }
        command.args(arguments).stdin(std::process::Stdio::null()).stdout(out.try_clone()?).stderr(out);
        command.process_group(0);
        Ok(command.spawn()?.id())
    };
    match start() {
        Ok(pid) => {
            println!("started in the background as process {pid}, output in logs/kafkaServer.out");
            ExitCode::SUCCESS
        }
        Err(error) => failure(format_args!("cannot go to the background: {error}")),
    }
}
