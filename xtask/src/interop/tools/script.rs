//! A script of commands: what to set up, what to compare.

/// One line.
pub struct Step {
    pub action: Action,
    /// What follows the colon, or the command itself.
    pub text: String,
}

pub enum Action {
    /// The command, to both tools. In front of it, with commas between: `sorted` where the order of the lines is that of a hash
    /// map; `local` where no broker is asked, or the command names it as `$BOOTSTRAP`; `apache` where only Apache's broker serves
    /// it so far.
    Compare { sorted: bool, local: bool, apache: bool },
    /// `setup: COMMAND`: to milena's tool, for both.
    Setup,
    /// `produce: COUNT TOPIC:PARTITIONS`.
    Produce,
    /// `file: NAME CONTENT`: into the directory `$DIR`.
    File,
    /// `consume: TOPIC PROTOCOL GROUP`: a consumer that stays until the end, or until `end: consumers`.
    Consume,
    /// `await: WORDS COMMAND`: with `_` between the words.
    Await,
    /// `end: consumers`.
    EndConsumers,
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
        None => Action::Compare { sorted: false, local: false, apache: false },
        Some("setup") => Action::Setup,
        Some("produce") => Action::Produce,
        Some("file") => Action::File,
        Some("consume") => Action::Consume,
        Some("await") => Action::Await,
        Some("end") => Action::EndConsumers,
        Some(how) => {
            let words: Vec<&str> = how.split(',').collect();
            if let Some(other) = words.iter().find(|word| !["sorted", "local", "apache"].contains(word)) {
                return Err(format!("{other}: is no directive, in {line:?}"));
            }
            let has = |word| words.contains(&word);
            Action::Compare { sorted: has("sorted"), local: has("local"), apache: has("apache") }
        }
    };
    Ok(Step { action, text: text.to_owned() })
}
