//! What the tools that talk to a broker have in common: where it is, their configuration, and how they end.

use std::future::Future;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use client::{Admin, ClientConfig, ClientError};
use common::ErrorCode;
use config::Properties;
use tracing_subscriber::EnvFilter;

use crate::report::failure;

/// Where the broker is, under all the names that people's notes have for it.
#[derive(clap::Args, Debug)]
pub(crate) struct Bootstrap {
    /// The brokers to ask first: HOST:PORT, several with commas [default: localhost:9092]
    #[arg(long, value_name = "server to connect to")]
    bootstrap_server: Option<String>,
    /// The name of --bootstrap-server in notes from before Kafka 2.5
    #[arg(long, value_name = "server to connect to", hide = true, conflicts_with = "bootstrap_server")]
    broker_list: Option<String>,
    #[arg(long, value_name = "hosts", hide = true)]
    zookeeper: Option<String>,
}

impl Bootstrap {
    /// The servers.
    ///
    /// Divergence: Kafka's tools refuse to start without `--bootstrap-server`. The broker of one's own machine is meant
    /// nearly always where nothing is said.
    pub(crate) fn servers(&self) -> Result<String, String> {
        if let Some(hosts) = &self.zookeeper {
            return Err(format!(
                "--zookeeper {hosts}: Kafka has no ZooKeeper since 4.0. Name a broker in its place: --bootstrap-server \
                 localhost:9092"
            ));
        }
        if let Some(servers) = &self.broker_list {
            eprintln!("--broker-list is the old name of --bootstrap-server");
            return Ok(servers.clone());
        }
        Ok(self.bootstrap_server.clone().unwrap_or_else(|| "localhost:9092".to_owned()))
    }
}

/// What every tool takes that asks the admin client.
#[derive(clap::Args, Debug)]
pub(crate) struct AdminOptions {
    #[command(flatten)]
    bootstrap: Bootstrap,
    /// Properties for the admin client
    #[arg(long, value_name = "command config property file")]
    command_config: Option<PathBuf>,
    /// Print the version
    #[arg(long)]
    pub(crate) version: bool,
}

impl AdminOptions {
    /// Whether brokers were named.
    pub(crate) fn names_brokers(&self) -> bool {
        self.bootstrap.bootstrap_server.is_some() || self.bootstrap.broker_list.is_some()
    }

    /// The configuration of the admin client.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, String> {
        client_config(self.bootstrap.servers()?, self.command_config.as_deref())
    }

    /// The admin client of a tool that has another, older name for --command-config.
    pub(crate) fn with_old_config(&self, name: &str, file: Option<&Path>) -> Result<Admin, String> {
        let Some(file) = file else { return self.admin() };
        if self.command_config.is_some() {
            let name = name.trim_start_matches('-');
            return Err(format!("Option \"[{name}]\" can't be used with option \"[command-config]\""));
        }
        deprecated(name, "--command-config");
        client_config(self.bootstrap.servers()?, Some(file)).map(Admin::new)
    }

    /// The admin client of a tool that was told of controllers.
    pub(crate) fn for_controllers(&self, controllers: &str) -> Result<Admin, String> {
        client_config(controllers.to_owned(), self.command_config.as_deref()).map(Admin::for_controllers)
    }

    /// The admin client.
    pub(crate) fn admin(&self) -> Result<Admin, String> {
        self.client_config().map(Admin::new)
    }
}

/// The configuration of a client of `servers`, with what a properties file says.
pub(crate) fn client_config(servers: String, file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut config = ClientConfig::new("");
    let entries = entries(file, &[])?;
    configure(&entries, |key, value| config.set(key, value))?;
    config.bootstrap_servers = servers;
    Ok(config)
}

/// The admin client of brokers, or of the controllers where they are named.
pub(crate) fn either_admin(
    servers: Option<&str>,
    controllers: Option<&str>,
    file: Option<&Path>,
) -> Result<Admin, String> {
    match controllers {
        Some(controllers) => client_config(controllers.to_owned(), file).map(Admin::for_controllers),
        None => client_config(servers.unwrap_or("localhost:9092").to_owned(), file).map(Admin::new),
    }
}

/// Says which program this is, as `--version` asks.
pub(crate) fn print_version() -> ExitCode {
    println!("{}", env!("CARGO_PKG_VERSION"));
    ExitCode::SUCCESS
}

/// The name of the exception by which Kafka's clients know an error; none where they have several for it.
fn known_class(error: &ClientError) -> Option<String> {
    match error {
        ClientError::Api { code, .. } => Some(code.exception()),
        ClientError::Unsuitable(_) => Some("java.lang.IllegalArgumentException".to_owned()),
        ClientError::Timeout { .. } => Some(ErrorCode::RequestTimedOut.exception()),
        ClientError::UnsupportedApi { .. } => Some(ErrorCode::UnsupportedVersion.exception()),
        _ => None,
    }
}

/// The name of an exception for any error.
pub(crate) fn exception_class(error: &ClientError) -> String {
    let class = || match error {
        ClientError::DeliveryTimeout { .. }
        | ClientError::Bootstrap { .. }
        | ClientError::Connection { .. } => ErrorCode::RequestTimedOut.exception(),
        _ => "org.apache.kafka.common.KafkaException".to_owned(),
    };
    known_class(error).unwrap_or_else(class)
}

/// An error as Kafka's tools print an exception: with the name that people and scripts know it by.
pub(crate) fn exception(error: &ClientError) -> String {
    match known_class(error) {
        Some(class) => format!("{class}: {error}"),
        None => error.to_string(),
    }
}

/// The same where Kafka's tools print the future that failed of it.
pub(crate) fn failed_future(error: &ClientError) -> String {
    format!("java.util.concurrent.ExecutionException: {}", exception(error))
}

/// A broker as Kafka's tools print it.
pub(crate) fn node_text(node: &client::Node) -> String {
    let rack = node.rack.as_deref().unwrap_or("null");
    format!("{}:{} (id: {} rack: {rack} isFenced: false)", node.host, node.port, node.id)
}

/// The entries of a properties file and of `key=value` arguments, which win; an argument without a value gives an empty one.
pub(crate) fn entries(file: Option<&Path>, arguments: &[String]) -> Result<Vec<(String, String)>, String> {
    let mut entries: Vec<(String, String)> = Vec::new();
    if let Some(file) = file {
        let properties = Properties::read(file).map_err(|error| error.to_string())?;
        entries.extend(properties.iter().map(|entry| (entry.name.clone(), entry.value.clone())));
    }
    for argument in arguments {
        let (key, value) = argument.split_once('=').unwrap_or((argument, ""));
        entries.push((key.to_owned(), value.to_owned()));
    }
    Ok(entries)
}

/// Sets keys of a client's configuration, and names those that have no effect.
pub(crate) fn configure(
    entries: &[(String, String)],
    mut set: impl FnMut(&str, &str) -> Result<bool, ClientError>,
) -> Result<(), String> {
    let mut unused = Vec::new();
    for (key, value) in entries {
        if !set(key, value).map_err(|error| error.to_string())? {
            unused.push(key.as_str());
        }
    }
    if !unused.is_empty() {
        eprintln!("WARN These configurations '{unused:?}' were supplied but are not used.");
        for (key, meant) in unused.iter().filter_map(|key| Some((key, meant(key)?))) {
            eprintln!("WARN No key is called {key}; did you mean {meant}?");
        }
    }
    Ok(())
}

/// The key of a client's that a name stands for which is none, if one is near.
fn meant(name: &str) -> Option<&'static str> {
    let mut keys = client::CONFIG_KEYS.iter().map(|key| key.name);
    if keys.clone().any(|key| key == name) { None } else { config::nearest(name, &mut keys) }
}

/// Kafka's word about an old option, on stdout as it has it.
pub(crate) fn deprecated(old: &str, new: &str) {
    println!("Option {old} has been deprecated and will be removed in a future version. Use {new} instead.");
}

/// The properties file of a tool that has another, older name for --command-config, which `name` is.
pub(crate) fn config_file<'a>(
    new: Option<&'a Path>,
    (name, old): (&str, Option<&'a Path>),
) -> Option<&'a Path> {
    if old.is_some() {
        deprecated(name, "--command-config");
    }
    old.or(new)
}

/// The one of two spellings of an option that was used, with Kafka's word about the old one.
pub(crate) fn renamed<'a, T: ?Sized>(
    new: (&str, Option<&'a T>),
    old: (&str, Option<&'a T>),
) -> Result<Option<&'a T>, String> {
    match (new.1, old.1) {
        (Some(_), Some(_)) => Err(format!("Options {} and {} cannot be specified together.", new.0, old.0)),
        (None, Some(value)) => {
            eprintln!(
                "Option {} is deprecated and will be removed in a future version. Use {} instead.",
                old.0, new.0
            );
            Ok(Some(value))
        }
        (value, None) => Ok(value),
    }
}

/// Waits for Ctrl-C, or for a SIGTERM. What a shell calls the end by that: 130 or 143. Whoever has no patience for what is left to
/// do then, such as the last commit where no broker answers, asks a second time, and the program is gone.
pub(crate) async fn interrupted() -> u8 {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Signals do then what they do to any program.
        return std::future::pending().await;
    };
    let mut asked = async move || {
        tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
        }
    };
    let code = asked().await;
    tokio::spawn(async move { std::process::exit(i32::from(asked().await)) });
    code
}

/// Runs a tool to its end. Warnings of the client go to stderr.
pub(crate) fn run<F: Future<Output = Result<ExitCode, String>>>(threads: usize, tool: F) -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    // Another subscriber is there where tools run in one process, as in tests.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .try_init();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = match builder.worker_threads(threads).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure(format_args!("the threads of the tool cannot be started: {error}")),
    };
    let code = match runtime.block_on(tool) {
        Ok(code) => code,
        Err(error) => failure(error),
    };
    // A thread may still wait for a terminal's next line.
    runtime.shutdown_background();
    code
}

/// Topics by a regular expression, as Kafka's `IncludeList` reads it: the whole name matches, commas are alternatives.
pub(crate) struct TopicFilter {
    expression: String,
    regex: fancy_regex::Regex,
}

impl TopicFilter {
    /// Reads the expression.
    pub(crate) fn new(expression: &str) -> Result<TopicFilter, String> {
        let cleaned = expression.trim().replace(',', "|").replace(' ', "");
        let cleaned = cleaned.trim_matches(['"', '\'']).to_owned();
        let regex = fancy_regex::Regex::new(&format!("^(?:{cleaned})$"));
        // The engine's Display goes into details over several lines; the expression is what its author knows.
        let regex = regex.map_err(|_| format!("{expression} is an invalid regex."))?;
        Ok(TopicFilter { expression: cleaned, regex })
    }

    /// The expression, without what stands around it.
    pub(crate) fn expression(&self) -> &str {
        &self.expression
    }

    /// Whether a topic is meant. An expression that takes too long to decide matches nothing.
    pub(crate) fn matches(&self, topic: &str) -> bool {
        self.regex.is_match(topic).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_whole_names_with_commas_and_lookahead() {
        let filter = |text: &str| TopicFilter::new(text).unwrap();
        assert!(filter("a, b").matches("b"));
        assert!(!filter("a").matches("ab"));
        assert!(filter("'a.*'").matches("abc"));
        assert!(!filter("(?!__).*").matches("__consumer_offsets"));
        assert!(TopicFilter::new("*").is_err_and(|error| error == "* is an invalid regex."));
    }

    #[test]
    fn arguments_win_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("client.properties");
        std::fs::write(&file, "a=1\nb=2\n").unwrap();
        let entries = entries(Some(&file), &["b=3=4".to_owned(), "c".to_owned()]).unwrap();
        let last =
            |key: &str| entries.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        assert_eq!((last("a"), last("b"), last("c")), (Some("1"), Some("3=4"), Some("")));
    }

    #[test]
    fn a_key_that_is_none_is_told_from_one_without_an_effect() {
        assert_eq!(meant("linger.mss"), Some("linger.ms"));
        assert_eq!(meant("auto.offset.rest"), Some("auto.offset.reset"));
        assert_eq!(meant("reconnect.backoff.ms"), None);
        assert_eq!(meant("of.my.own"), None);
    }

    #[test]
    fn old_names_of_the_broker_are_understood_or_explained() {
        let none = || Bootstrap { bootstrap_server: None, broker_list: None, zookeeper: None };
        assert_eq!(none().servers().unwrap(), "localhost:9092");
        assert_eq!(Bootstrap { broker_list: Some("b:1".to_owned()), ..none() }.servers().unwrap(), "b:1");
        let refused = Bootstrap { zookeeper: Some("z:2181".to_owned()), ..none() }.servers().unwrap_err();
        assert!(refused.contains("--bootstrap-server"));
    }
}
