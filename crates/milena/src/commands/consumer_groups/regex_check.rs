//! `--validate-regex`: whether subscriptions take a regular expression, and what RE2/J says where they do not.

use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{Ast, ErrorKind, RepetitionKind, RepetitionRange, Visitor};

/// The sentence that Kafka's tool prints.
pub(super) fn verdict(regex: &str) -> String {
    match problem(regex) {
        None => format!("The regular expression `{regex}` is valid."),
        Some(problem) => format!("The regular expression `{regex}` is invalid: {problem}."),
    }
}

/// What is wrong, in the words of RE2/J.
fn problem(regex: &str) -> Option<&'static str> {
    let error = match Parser::new().parse(regex) {
        Ok(ast) => return regex_syntax::ast::visit(&ast, Repetitions).err(),
        Err(error) => error,
    };
    Some(match error.kind() {
        ErrorKind::ClassUnclosed => "missing closing ]",
        ErrorKind::ClassRangeInvalid | ErrorKind::ClassRangeLiteral => "invalid character class range",
        ErrorKind::GroupUnclosed => "missing closing )",
        ErrorKind::GroupUnopened => "regexp/syntax: internal error",
        ErrorKind::RepetitionMissing => "missing argument to repetition operator",
        ErrorKind::RepetitionCountInvalid | ErrorKind::RepetitionCountDecimalEmpty => "invalid repeat count",
        ErrorKind::EscapeUnexpectedEof => "trailing backslash at end of expression",
        ErrorKind::EscapeUnrecognized | ErrorKind::ClassEscapeInvalid => "invalid escape sequence",
        ErrorKind::GroupNameDuplicate { .. } => "duplicate capture group name",
        ErrorKind::GroupNameEmpty | ErrorKind::GroupNameInvalid | ErrorKind::GroupNameUnexpectedEof => {
            "invalid named capture"
        }
        _ => "invalid or unsupported Perl syntax",
    })
}

/// Looks for repetitions that RE2/J does not take.
struct Repetitions;

impl Visitor for Repetitions {
    type Output = ();
    type Err = &'static str;

    fn finish(self) -> Result<(), &'static str> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), &'static str> {
        /// `RE2.MAX_REPEAT`.
        const MOST: u32 = 1000;
        let Ast::Repetition(repetition) = ast else { return Ok(()) };
        if matches!(*repetition.ast, Ast::Repetition(_)) {
            return Err("invalid nested repetition operator");
        }
        match &repetition.op.kind {
            RepetitionKind::Range(
                RepetitionRange::Exactly(count)
                | RepetitionRange::AtLeast(count)
                | RepetitionRange::Bounded(_, count),
            ) if *count > MOST => Err("invalid repeat count"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_in_re2js_words() {
        assert_eq!(verdict("a.*"), "The regular expression `a.*` is valid.");
        assert_eq!(verdict("a(b"), "The regular expression `a(b` is invalid: missing closing ).");
        assert_eq!(problem("[a"), Some("missing closing ]"));
        assert_eq!(problem("*a"), Some("missing argument to repetition operator"));
        assert_eq!(problem("(?=a)"), Some("invalid or unsupported Perl syntax"));
        assert_eq!(problem("a\\"), Some("trailing backslash at end of expression"));
        assert_eq!(problem("a**"), Some("invalid nested repetition operator"));
        assert_eq!(problem("a{1001}"), Some("invalid repeat count"));
        assert_eq!(problem("a{2,1}"), Some("invalid repeat count"));
    }
}
