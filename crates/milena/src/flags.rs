//! What is wrong with a command line, in the words that Kafka's tools have for it, with the flag that was probably meant.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The tools whose options Kafka reads with argparse4j; the others use jopt-simple.
const ARGPARSE: [&str; 7] = [
    "cluster",
    "features",
    "metadata-quorum",
    "metadata-shell",
    "producer-perf-test",
    "verifiable-consumer",
    "verifiable-producer",
];

/// The complaint of the tool's option parser about the same mistake; nothing where clap's own words have to do.
pub(crate) fn complaint(tool: &str, error: &clap::Error) -> Option<String> {
    let meant = meant(error).map(|meant| format!("\nDid you mean {meant}?")).unwrap_or_default();
    let (server, controller) = match tool {
        "cluster" => ("argument --bootstrap-server/-b", "argument --bootstrap-controller/-C"),
        _ => ("argument --bootstrap-server", "argument --bootstrap-controller"),
    };
    let complaint = match ARGPARSE.contains(&tool) {
        // Where a flag has a short form, argparse4j names both.
        true => of_argparse(error)?
            .replace("argument --id", "argument --id/-i")
            .replace("argument --snapshot", "argument --snapshot/-s")
            .replace("argument --bootstrap-server", server)
            .replace("argument --bootstrap-controller", controller),
        false => of_jopt(error)?,
    };
    Some(match tool {
        "features" => format!("Command line error: {complaint}. Type --help for help.{meant}"),
        "get-offsets" => format!("Error occurred: {complaint}{meant}"),
        "verifiable-consumer" | "verifiable-producer" => format!("{tool}: error: {complaint}{meant}"),
        _ if ARGPARSE.contains(&tool) => format!("kafka-{tool}: error: {complaint}{meant}"),
        _ => format!("{complaint}{meant}"),
    })
}

/// The flag that was probably meant. clap names one for nearly every mistake: it counts only if it is near.
fn meant(error: &clap::Error) -> Option<&str> {
    let name = name(text(error, ContextKind::InvalidArg)?)?;
    let meant = text(error, ContextKind::SuggestedArg)?;
    config::nearest(name, std::iter::once(meant.trim_start_matches('-'))).map(|_| meant)
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(ContextValue::Strings(texts)) => texts.first().map(String::as_str),
        _ => None,
    }
}

fn of_argparse(error: &clap::Error) -> Option<String> {
    let argument = text(error, ContextKind::InvalidArg)?;
    let flag = argument.split([' ', '=']).next().unwrap_or(argument);
    Some(match error.kind() {
        ErrorKind::UnknownArgument => format!("unrecognized arguments: '{flag}'"),
        ErrorKind::MissingRequiredArgument => format!("argument {flag} is required"),
        // clap names the first of the two first.
        ErrorKind::ArgumentConflict => {
            let later = text(error, ContextKind::PriorArg)?;
            let later = later.split([' ', '=']).next().unwrap_or(later);
            format!("argument {later}: not allowed with argument {flag}")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            match text(error, ContextKind::InvalidValue) {
                None | Some("") => format!("argument {flag}: expected one argument"),
                Some(value) => format!("argument {flag}: could not convert '{value}'"),
            }
        }
        _ => return None,
    })
}

fn of_jopt(error: &clap::Error) -> Option<String> {
    let context = |kind| text(error, kind);
    let argument = context(ContextKind::InvalidArg)?;
    let name = name(argument)?;
    Some(match error.kind() {
        ErrorKind::UnknownArgument => {
            format!("{name} is not a recognized option")
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => match context(ContextKind::InvalidValue) {
            None | Some("") => format!("Option {name} requires an argument"),
            Some(value) => format!("Cannot parse argument '{value}' of option {name}"),
        },
        ErrorKind::ArgumentConflict
            if context(ContextKind::PriorArg).is_none_or(|prior| prior == argument) =>
        {
            format!("Found multiple arguments for option {name}, but you asked for only one")
        }
        ErrorKind::MissingRequiredArgument => format!("Missing required argument \"[{name}]\""),
        _ => return None,
    })
}

/// `partitions` of `--partitions <number>`; nothing of what is no flag.
fn name(argument: &str) -> Option<&str> {
    let name = argument.strip_prefix("--")?;
    Some(name.split([' ', '=']).next().unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Tool {
        #[arg(long)]
        from_beginning: bool,
        #[arg(long, value_name = "number")]
        partitions: Option<i32>,
        #[arg(long)]
        client: bool,
    }

    #[test]
    fn mistakes_are_told_in_kafkas_words() {
        for (words, expected) in [
            (
                &["--from-begining"][..],
                "from-begining is not a recognized option\nDid you mean --from-beginning?",
            ),
            (&["--cleint"], "cleint is not a recognized option\nDid you mean --client?"),
            (&["--list"], "list is not a recognized option"),
            (&["--zzzzzz"], "zzzzzz is not a recognized option"),
            (&["--partitions"], "Option partitions requires an argument"),
            (&["--partitions", "many"], "Cannot parse argument 'many' of option partitions"),
            (
                &["--partitions", "1", "--partitions", "2"],
                "Found multiple arguments for option partitions, but you asked for only one",
            ),
        ] {
            let words = std::iter::once("tool").chain(words.iter().copied());
            let error = Tool::try_parse_from(words).unwrap_err();
            assert_eq!(complaint("topics", &error).as_deref(), Some(expected), "{error}");
        }
        let error = Tool::try_parse_from(["tool", "--from-begining"]).unwrap_err();
        let said = complaint("cluster", &error).unwrap();
        assert!(
            said.starts_with("kafka-cluster: error: unrecognized arguments: '--from-begining'\n"),
            "{said}"
        );
        let said = complaint("features", &error).unwrap();
        assert!(
            said.starts_with("Command line error: unrecognized arguments: '--from-begining'. Type"),
            "{said}"
        );
    }
}
