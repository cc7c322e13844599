//! What the tools for groups of one kind have in common: their options, and how they end. Below: the offsets of groups, which
//! scenario of `--reset-offsets` gives which (Kafka's `OffsetsUtils`), and groups and offsets deleted.

pub(super) mod delete;
mod instant;
pub(super) mod offsets;
mod plan;
pub(super) mod reset;

use std::process::ExitCode;
use std::time::Duration;

use client::admin::{GroupFilter, GroupState};
use client::{Admin, ClientError};

use super::client_tool::{self, AdminOptions, failed_future};

/// Where a column has nothing to say.
pub(super) const NOTHING: &str = "-";

/// A kind of groups, with what Kafka's tool for it does in its own way.
pub(super) struct Kind {
    /// Its name.
    pub(super) name: &'static str,
    /// Which groups are of it.
    pub(super) filter: fn() -> GroupFilter,
    /// How the tool ends when the cluster, or what is asked of it, does not let it.
    pub(super) failure: ExitCode,
    /// What stands behind the names of the groups that were deleted where others were not.
    pub(super) full_stop: &'static str,
}

/// What all these tools take.
#[derive(clap::Args, Debug)]
pub(crate) struct GroupOptions {
    #[command(flatten)]
    pub(super) admin: AdminOptions,
    /// List the groups
    #[arg(long)]
    pub(super) list: bool,
    /// Describe groups: their offsets and lag, or what --members or --state asks for
    #[arg(long)]
    pub(super) describe: bool,
    /// Delete groups, with their offsets
    #[arg(long)]
    pub(super) delete: bool,
    /// Set the offsets of groups without members. Says what it would do, or does it with --execute. Takes one of --to-datetime,
    /// --by-duration, --to-earliest, --to-latest, --shift-by, --from-file, --to-current and --to-offset, and, but for
    /// --from-file, the topics
    #[arg(long)]
    pub(super) reset_offsets: bool,
    /// Forget the offsets of a group in topics
    #[arg(long)]
    pub(super) delete_offsets: bool,
    /// The group; may be given several times
    #[arg(long = "group", value_name = "group id")]
    pub(super) groups: Vec<String>,
    /// All groups
    #[arg(long)]
    all_groups: bool,
    /// With --describe: the members
    #[arg(long)]
    pub(super) members: bool,
    /// With --describe: the offsets, as without it
    #[arg(long)]
    offsets: bool,
    /// With --describe: more columns
    #[arg(long)]
    pub(super) verbose: bool,
    /// With --describe: the state. With --list: a column with it, and only groups in the states that are given, such as
    /// stable,empty
    #[arg(long, value_name = "states", num_args = 0..=1, default_missing_value = "")]
    pub(super) state: Option<String>,
    #[command(flatten)]
    pub(super) reset: reset::ResetOptions,
    /// How long to wait for an answer, such as that of a group that settles
    #[arg(long, value_name = "timeout (ms)", default_value_t = 30_000, allow_negative_numbers = true)]
    timeout: i64,
}

/// Why a command was not carried out.
pub(super) enum Failure {
    /// The command line makes no sense: the tool ends with 1.
    Usage(String),
    /// The cluster, or what is asked of it, does not let it. Kafka's tools print it.
    Failed(String),
}

/// What Kafka's tools say of a future that failed.
pub(super) fn failed(error: ClientError) -> Failure {
    Failure::Failed(failed_future(&error))
}

/// What they say of the exception that came out of it.
pub(super) fn said(error: ClientError) -> Failure {
    Failure::Failed(error.to_string())
}

/// The same with the exception's class.
pub(super) fn thrown(error: ClientError) -> Failure {
    Failure::Failed(client_tool::exception(&error))
}

/// As Kafka's tools print what went wrong: on stdout, where scripts look for it.
///
/// Divergence: no stack trace follows.
pub(super) fn print_error(error: &str) {
    println!("\nError: {error}");
}

/// Runs the command that was asked for to its end.
pub(super) fn run(
    kind: &Kind,
    options: &GroupOptions,
    command: impl AsyncFnOnce(&Admin) -> Result<(), Failure>,
) -> ExitCode {
    client_tool::run(1, async move {
        let mut config = options.admin.client_config()?;
        config.api_timeout = Duration::from_millis(u64::try_from(options.timeout).unwrap_or(0));
        match command(&Admin::new(config)).await {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(Failure::Usage(error)) => Err(error),
            Err(Failure::Failed(error)) => {
                print_error(&format!("Executing {} group command failed due to {error}", kind.name));
                Ok(kind.failure)
            }
        }
    })
}

/// How Kafka's tools refuse an option beside another.
pub(super) fn clash(one: &str, other: &str) -> String {
    format!("Option \"[{one}]\" can't be used with option \"[{other}]\"")
}

/// How they refuse one that needs another.
pub(super) fn unavailable(option: &str) -> String {
    format!("Option(s) [{option}] are unavailable given other options on the command line")
}

impl GroupOptions {
    /// The actions that were asked for.
    pub(super) fn actions(&self) -> usize {
        let actions = [self.list, self.describe, self.delete, self.reset_offsets, self.delete_offsets];
        actions.into_iter().filter(|given| *given).count()
    }

    /// Options that are there for some actions only.
    pub(super) fn check_available(&self) -> Result<(), String> {
        let state = self.state.is_some();
        for (option, given, available) in [
            ("members", self.members, self.describe),
            ("offsets", self.offsets, self.describe),
            ("verbose", self.verbose, self.describe),
            ("state", state, self.describe || self.list),
        ] {
            if given && !available {
                return Err(unavailable(option));
            }
        }
        Ok(())
    }

    /// An action for which groups have to be named.
    pub(super) fn check_scope(&self, action: &str) -> Result<(), String> {
        match self.groups.is_empty() && !self.all_groups {
            true => Err(format!("Option [{action}] takes one of these options: [all-groups], [group]")),
            false => Ok(()),
        }
    }

    /// What `--describe` takes.
    pub(super) fn check_describe(&self) -> Result<(), String> {
        self.check_scope("describe")?;
        let views = [self.members, self.offsets, self.state.is_some()];
        if views.into_iter().filter(|given| *given).count() > 1 {
            return Err(
                "Option [describe] takes at most one of these options: [members], [offsets], [state]"
                    .to_owned(),
            );
        }
        if self.state.as_deref().is_some_and(|states| !states.is_empty()) {
            return Err("Option [describe] does not take a value for [state]".to_owned());
        }
        Ok(())
    }

    /// What excludes each other, of groups and of topics: `topic` is the option for them, if it was given.
    pub(super) fn check_clashes(&self, topic: Option<&str>) -> Result<(), String> {
        if !self.groups.is_empty() && self.all_groups {
            return Err(clash("group", "all-groups"));
        }
        if !self.groups.is_empty() && self.list {
            return Err(clash("group", "list"));
        }
        for (action, given) in [("list", self.list), ("describe", self.describe)] {
            if let Some(topic) = topic.filter(|_| given) {
                return Err(clash(topic, action));
            }
        }
        Ok(())
    }

    /// The groups that are meant.
    pub(super) async fn groups(&self, kind: &Kind, admin: &Admin) -> Result<Vec<String>, Failure> {
        if self.all_groups { all_groups(kind, admin).await } else { Ok(self.groups.clone()) }
    }

    /// The states that `--state` names; none where it names nothing.
    pub(super) fn states(&self, valid: &[GroupState]) -> Result<Vec<GroupState>, Failure> {
        states(self.state.as_deref().unwrap_or_default(), valid).map_err(Failure::Usage)
    }
}

/// All groups of a kind.
pub(super) async fn all_groups(kind: &Kind, admin: &Admin) -> Result<Vec<String>, Failure> {
    let groups = admin.list_groups(&(kind.filter)()).await.map_err(failed)?;
    Ok(groups.into_iter().map(|group| group.group_id).collect())
}

/// The states in `stable,empty`; none in nothing.
fn states(text: &str, valid: &[GroupState]) -> Result<Vec<GroupState>, String> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let states: Vec<GroupState> = text.split(',').map(|name| GroupState::parse(name.trim())).collect();
    if states.iter().any(|state| !valid.contains(state)) {
        let valid: Vec<&str> = valid.iter().map(|state| state.name()).collect();
        return Err(format!("Invalid state list '{text}'. Valid states are: {}", valid.join(", ")));
    }
    Ok(states)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_checked() {
        let valid = &GroupState::OF_CONSUMER_GROUPS;
        assert_eq!(states("stable, Empty", valid).unwrap(), [GroupState::Stable, GroupState::Empty]);
        assert_eq!(states("", valid).unwrap(), []);
        assert!(states("happy", valid).unwrap_err().starts_with("Invalid state list 'happy'."));
        // Which are valid depends on the kind.
        assert!(states("NotReady", valid).is_err());
        assert_eq!(states("notready", &GroupState::OF_STREAMS_GROUPS).unwrap(), [GroupState::NotReady]);
    }
}
