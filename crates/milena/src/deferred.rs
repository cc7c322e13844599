//! A command's flags are described when the command is used: to describe those of all of them takes longer than most commands do.

use std::sync::atomic::{AtomicBool, Ordering};

use clap::{ArgMatches, Args, Command, Error, FromArgMatches};

static ALL: AtomicBool = AtomicBool::new(false);

/// From now on commands are described with their flags at once, for who goes through all of them: clap looks for what their commands
/// have before it has what was put off described.
pub(crate) fn describe_all() {
    ALL.store(true, Ordering::Relaxed);
}

/// The arguments of a command, described when it is known to be the one.
pub(crate) struct Deferred<A>(pub A);

impl<A: Args> Args for Deferred<A> {
    fn augment_args(command: Command) -> Command {
        if ALL.load(Ordering::Relaxed) { describe::<A>(command) } else { command.defer(describe::<A>) }
    }

    fn augment_args_for_update(command: Command) -> Command {
        command.defer(A::augment_args_for_update)
    }
}

fn describe<A: Args>(command: Command) -> Command {
    // The command's own text, as in the list of all of them, and not that of the type.
    let (about, long_about) = (command.get_about().cloned(), command.get_long_about().cloned());
    let mut command = A::augment_args(command).long_about(None);
    if let Some(about) = about {
        command = command.about(about);
    }
    if let Some(long_about) = long_about {
        command = command.long_about(long_about);
    }
    command
}

impl<A: FromArgMatches> FromArgMatches for Deferred<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        A::from_arg_matches(matches).map(Deferred)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}
