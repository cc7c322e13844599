//! A script of commands: what to set up, what to compare.

/// One line.
pub struct Step {
    pub action: Action,
    /// What follows the colon, or the command itself.
    pub text: String,
}

pub enum Action {
    /// The command, to both tools.
    Compare(How),
    /// `setup: COMMAND`: to milena's tool, for both.
    Setup,
    /// `produce: COUNT TOPIC:PARTITIONS`.
    Produce,
    /// `file: NAME CONTENT`: into the directory `$DIR`.
    File,
    /// `copy: NAME FILES`: the files, as the command names them, into the directory `$DIR/NAME`.
    Copy,
    /// `transact: TOPIC GROUP`: on Apache's broker, transactions into the topic, and a share group that reads it.
    Transact,
    /// `consume: TOPIC PROTOCOL GROUP`: a consumer that stays until the end, or until `end: consumers`.
    Consume,
    /// `stream: GROUP`: the application of `interop/streams-groups` in that group, on the topics `lines` and `counts`, until
    /// `end: streams`.
    Stream,
    /// `await: WORDS COMMAND`: with `_` between the words.
    Await,
    /// `end: consumers`.
    EndConsumers,
    /// `end: streams`: they leave their groups.
    EndStreams,
}

/// How a command is compared: the words in front of it, with commas between.
#[derive(Clone, Copy, Default)]
pub struct How {
    /// `sorted`: the order of the lines is that of a hash map.
    pub sorted: bool,
    /// `local`: no broker is asked, or the command names it as `$BOOTSTRAP`, or its controller as `$CONTROLLER`.
    pub local: bool,
    /// `apache`: only Apache's broker serves it so far.
    pub apache: bool,
    /// `masked`: numbers are their own.
    pub masked: bool,
    /// `alone`: Apache's tool says part of it when its JVM ends, or needs other jars.
    pub alone: bool,
    /// `again`: Apache's tool may answer before it has read everything; it is asked up to five times.
    pub again: bool,
}

/// The steps of a script; empty lines and those with a `#` in front are for its reader.
pub fn parse(text: &str) -> Result<Vec<Step>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(step).collect()
}

fn step(line: &str) -> Result<Step, String> {
    let (action, text) = match line.split_once(": ") {
        Some((directive, text)) if !directive.contains(' ') => (Some(directive), text),
        _ => (None, line),
    };
    let action = match action {
        None => Action::Compare(How::default()),
        Some("setup") => Action::Setup,
        Some("produce") => Action::Produce,
        Some("file") => Action::File,
        Some("copy") => Action::Copy,
        Some("transact") => Action::Transact,
        Some("consume") => Action::Consume,
        Some("await") => Action::Await,
        Some("stream") => Action::Stream,
        Some("end") if text == "streams" => Action::EndStreams,
        Some("end") => Action::EndConsumers,
        Some(how) => {
            let mut of = How::default();
            for word in how.split(',') {
                let flag = match word {
                    "sorted" => &mut of.sorted,
                    "local" => &mut of.local,
                    "apache" => &mut of.apache,
                    "masked" => &mut of.masked,
                    "alone" => &mut of.alone,
                    "again" => &mut of.again,
                    other => return Err(format!("{other}: is no directive, in {line:?}")),
                };
                *flag = true;
            }
            Action::Compare(of)
        }
    };
    Ok(Step { action, text: text.to_owned() })
}
