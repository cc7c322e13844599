//! Command-line flags: `--flag value`, `--flag=value`, and switches without a value.

use std::{collections::VecDeque, str::FromStr};

use crate::{Failure, Result};

/// What stands on the command line and was not taken yet.
pub struct Args {
    rest: VecDeque<String>,
}

impl Args {
    pub fn new(words: impl Iterator<Item = String>) -> Self {
        Self { rest: words.collect() }
    }

    /// The first word.
    pub fn command(&mut self) -> Option<String> {
        self.rest.pop_front()
    }

    /// Whether a switch stands there.
    pub fn switch(&mut self, name: &str) -> bool {
        match self.rest.iter().position(|word| word == name) {
            Some(index) => self.rest.remove(index).is_some(),
            None => false,
        }
    }

    /// The value of a flag, if it stands there.
    pub fn text(&mut self, name: &str) -> Result<Option<String>> {
        let with_value = |word: &str| word.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
        let Some(index) = self.rest.iter().position(|word| word == name || with_value(word)) else {
            return Ok(None);
        };
        let word = self.rest.remove(index).unwrap_or_default();
        if let Some((_, value)) = word.split_once('=') {
            return Ok(Some(value.to_owned()));
        }
        match self.rest.remove(index) {
            Some(value) => Ok(Some(value)),
            None => Err(Failure::new(format!("{name} needs a value"))),
        }
    }

    /// Every value of a flag that may stand there more than once.
    pub fn texts(&mut self, name: &str) -> Result<Vec<String>> {
        let mut values = Vec::new();
        while let Some(value) = self.text(name)? {
            values.push(value);
        }
        Ok(values)
    }

    pub fn required(&mut self, name: &str) -> Result<String> {
        self.text(name)?.ok_or_else(|| Failure::new(format!("{name} is needed")))
    }

    /// The value of a flag, read as a number or whatever `T` is.
    pub fn optional<T: FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Failure::new(format!("{name} {text}: not a value for this flag")))
    }

    pub fn or<T: FromStr>(&mut self, name: &str, default: T) -> Result<T> {
        Ok(self.optional(name)?.unwrap_or(default))
    }

    /// Nothing may be left over: a misspelt flag must not go unseen.
    pub fn finish(&self) -> Result<()> {
        match self.rest.front() {
            None => Ok(()),
            Some(word) => Err(Failure::new(format!("{word} means nothing here; see `bench help`"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args {
        Args::new(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_in_both_notations() {
        let mut args = args("produce --count 5 --topic=a=b --quick --system x --system y");
        assert_eq!(args.command().as_deref(), Some("produce"));
        assert_eq!(args.or("--count", 1).unwrap(), 5);
        assert_eq!(args.text("--topic").unwrap().as_deref(), Some("a=b"));
        assert!(args.switch("--quick"));
        assert!(!args.switch("--quick"));
        assert_eq!(args.texts("--system").unwrap(), ["x", "y"]);
        assert_eq!(args.or("--rate", 7).unwrap(), 7);
        assert!(args.finish().is_ok());
    }

    #[test]
    fn what_is_not_understood_is_said() {
        assert!(args("--count many").or("--count", 1).is_err());
        assert!(args("--count").or("--count", 1).is_err());
        assert!(args("--cuont 1").finish().is_err());
    }
}
