//! What is wrong with a command line, in the words that Kafka's tools have for it, with the flag that was probably meant.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The complaint of Kafka's option parser about the same mistake; nothing where clap's own words have to do.
pub(crate) fn complaint(error: &clap::Error) -> Option<String> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(ContextValue::Strings(texts)) => texts.first().map(String::as_str),
        _ => None,
    };
    let argument = context(ContextKind::InvalidArg)?;
    let name = name(argument)?;
    Some(match error.kind() {
        ErrorKind::UnknownArgument => {
            let meant = context(ContextKind::SuggestedArg).map(|meant| format!("\nDid you mean {meant}?"));
            format!("{name} is not a recognized option{}", meant.unwrap_or_default())
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
    }

    #[test]
    fn mistakes_are_told_in_kafkas_words() {
        for (words, expected) in [
            (
                &["--from-begining"][..],
                "from-begining is not a recognized option\nDid you mean --from-beginning?",
            ),
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
            assert_eq!(complaint(&error).as_deref(), Some(expected), "{error}");
        }
    }
}
