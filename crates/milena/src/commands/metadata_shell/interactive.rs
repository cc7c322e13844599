//! The shell with somebody in front of it: lines with history and completion.

use std::io::{self, Write};

use metadata::MetadataImage;
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Context, Editor, Helper};

use super::commands::{After, COMMANDS, Shell};
use super::glob;
use super::node::Node;

/// Completes commands, and paths behind them.
struct Completion<'a> {
    root: Node<'a>,
    directory: String,
}

impl Helper for Completion<'_> {}
impl Highlighter for Completion<'_> {}
impl Validator for Completion<'_> {}
impl Hinter for Completion<'_> {
    type Hint = String;
}

impl Completer for Completion<'_> {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let line = line.get(..position).unwrap_or(line);
        let start = line.rfind(' ').map_or(0, |space| space + 1);
        let word = &line[start..];
        let candidates = match start {
            0 => commands(word),
            _ if line.trim_start().starts_with("man ") => commands(word),
            _ => self.paths(word),
        };
        Ok((start, candidates))
    }
}

fn pair(text: String) -> Pair {
    Pair { display: text.clone(), replacement: text }
}

fn commands(front: &str) -> Vec<Pair> {
    let names = COMMANDS.iter().map(|command| command.name).filter(|name| name.starts_with(front));
    names.map(|name| pair(format!("{name} "))).collect()
}

impl Completion<'_> {
    fn paths(&self, front: &str) -> Vec<Pair> {
        let (directory, name) =
            front.rsplit_once('/').map_or(("", front), |(directory, name)| (directory, name));
        let base = if front.contains('/') { format!("{directory}/") } else { String::new() };
        let mut node = self.root;
        for component in glob::components(&self.directory, &base) {
            let Some(child) = node.child(&component) else { return Vec::new() };
            node = child;
        }
        let names = node.names().into_iter().filter(|known| known.starts_with(name));
        let complete = |name: String| {
            let end = match node.child(&name) {
                Some(child) if child.is_directory() => "/",
                _ => " ",
            };
            pair(format!("{base}{name}{end}"))
        };
        names.map(complete).collect()
    }
}

/// Reads commands until there are no more.
pub(super) fn run(image: &MetadataImage) -> Result<(), String> {
    let editor = Editor::<Completion<'_>, MemHistory>::with_history(Config::default(), MemHistory::new());
    let mut editor = editor.map_err(|error| format!("the terminal cannot be used: {error}"))?;
    let mut shell = Shell { image, directory: "/".to_owned(), history: Some(Vec::new()), width: None };
    println!("[ Kafka Metadata Shell ]");
    loop {
        editor.set_helper(Some(Completion { root: shell.root(), directory: shell.directory.clone() }));
        let line = match editor.readline(">> ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                println!("^C");
                continue;
            }
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        if !line.trim().is_empty() {
            let _ = editor.add_history_entry(&line);
            shell.history.get_or_insert_default().push(line.clone());
        }
        shell.width = editor.dimensions().map(|(columns, _)| usize::from(columns));
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let mut out = io::BufWriter::new(io::stdout().lock());
        let after = shell.run(&words, &mut out).and_then(|after| out.flush().map(|()| after));
        if after.map_err(|error| error.to_string())? == After::Exit {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_paths_are_completed() {
        let image = MetadataImage::empty();
        let completion = Completion { root: Node::Root(&image), directory: "/image".to_owned() };
        let history = MemHistory::new();
        let of = |line: &str| -> (usize, Vec<String>) {
            let (start, pairs) = completion.complete(line, line.len(), &Context::new(&history)).unwrap();
            (start, pairs.into_iter().map(|pair| pair.replacement).collect())
        };
        assert_eq!(of("h"), (0, vec!["help ".to_owned(), "history ".to_owned()]));
        assert_eq!(of("man pw"), (4, vec!["pwd ".to_owned()]));
        assert_eq!(of("cat pro"), (4, vec!["producerIds/".to_owned(), "provenance ".to_owned()]));
        assert_eq!(
            of("ls /image/cl"),
            (3, vec!["/image/clientQuotas/".to_owned(), "/image/cluster/".to_owned()])
        );
        assert_eq!(of("ls ../lo"), (3, vec!["../local/".to_owned()]));
        assert_eq!(of("ls nowhere/x"), (3, Vec::new()));
    }
}
