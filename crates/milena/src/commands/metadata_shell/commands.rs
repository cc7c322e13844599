//! The shell's commands (`org.apache.kafka.shell.command`).

use std::io::{self, Write};

use metadata::MetadataImage;

use super::glob;
use super::node::Node;

/// A command: its name, what it does, the arguments it takes, and whether it makes sense between others alone.
pub(super) struct Command {
    pub(super) name: &'static str,
    description: &'static str,
    argument: Option<Argument>,
    interactive: bool,
}

struct Argument {
    name: &'static str,
    help: &'static str,
    at_least: usize,
    at_most: usize,
}

const fn argument(
    name: &'static str,
    help: &'static str,
    at_least: usize,
    at_most: usize,
) -> Option<Argument> {
    Some(Argument { name, help, at_least, at_most })
}

/// The commands, by name.
pub(super) const COMMANDS: [Command; 10] = [
    Command {
        name: "cat",
        description: "Show the contents of metadata files.",
        argument: argument("targets", "The metadata files to display.", 1, usize::MAX),
        interactive: false,
    },
    Command {
        name: "cd",
        description: "Set the current working directory.",
        argument: argument("target", "The directory to change to.", 0, 1),
        interactive: true,
    },
    Command { name: "exit", description: "Exit the metadata shell.", argument: None, interactive: true },
    Command {
        name: "find",
        description: "Search for nodes in the directory hierarchy.",
        argument: argument("paths", "The paths to start at.", 0, usize::MAX),
        interactive: false,
    },
    Command { name: "help", description: "Display this help message.", argument: None, interactive: true },
    Command {
        name: "history",
        description: "Print command history.",
        argument: argument("numEntriesToShow", "The number of entries to show.", 0, 1),
        interactive: true,
    },
    Command {
        name: "ls",
        description: "List metadata nodes.",
        argument: argument("targets", "The metadata node paths to list.", 0, usize::MAX),
        interactive: false,
    },
    Command {
        name: "man",
        description: "Show the help text for a specific command.",
        argument: argument("cmd", "The command to get help text for.", 1, 1),
        interactive: true,
    },
    Command {
        name: "pwd",
        description: "Print the current working directory.",
        argument: None,
        interactive: true,
    },
    Command {
        name: "tree",
        description: "Show the contents of metadata nodes in a tree structure.",
        argument: argument("targets", "The metadata nodes to display.", 1, usize::MAX),
        interactive: false,
    },
];

/// What the commands work on.
pub(super) struct Shell<'a> {
    pub(super) image: &'a MetadataImage,
    pub(super) directory: String,
    /// What was typed so far, where somebody types.
    pub(super) history: Option<Vec<String>>,
    /// How many letters a line of the terminal has, where there is one.
    pub(super) width: Option<usize>,
}

/// Whether another command may follow.
#[derive(Debug, PartialEq)]
pub(super) enum After {
    GoOn,
    Exit,
}

impl<'a> Shell<'a> {
    pub(super) fn root(&self) -> Node<'a> {
        Node::Root(self.image)
    }

    fn commands(&self) -> impl Iterator<Item = &'static Command> {
        let is_interactive = self.history.is_some();
        COMMANDS.iter().filter(move |command| is_interactive || !command.interactive)
    }

    /// Runs a command; what is wrong with it is printed like anything else.
    pub(super) fn run(&mut self, words: &[String], out: &mut impl Write) -> io::Result<After> {
        let kept = words.iter().rposition(|word| !word.is_empty()).map_or(0, |last| last + 1);
        let Some((name, arguments)) = words.get(..kept).and_then(<[String]>::split_first) else {
            return Ok(After::GoOn);
        };
        let Some(command) = self.commands().find(|command| command.name == name) else {
            let names: Vec<String> = self.commands().map(|command| format!("'{}'", command.name)).collect();
            writeln!(out, "invalid choice: '{name}' (choose from {})", names.join(", "))?;
            return Ok(After::GoOn);
        };
        let (at_least, at_most) =
            command.argument.as_ref().map_or((0, 0), |argument| (argument.at_least, argument.at_most));
        if arguments.len() < at_least {
            writeln!(out, "too few arguments")?;
            return Ok(After::GoOn);
        }
        if arguments.len() > at_most {
            writeln!(out, "unrecognized arguments: '{}'", arguments[at_most..].join(" "))?;
            return Ok(After::GoOn);
        }
        match name.as_str() {
            "cat" => self.cat(arguments, out)?,
            "cd" => self.cd(arguments.first().map_or("/", String::as_str), out)?,
            "exit" => return Ok(After::Exit),
            "find" => self.find(&effective(arguments), out)?,
            "help" => self.help(out)?,
            "history" => self.print_history(arguments.first(), out)?,
            "ls" => self.ls(&effective(arguments), out)?,
            "man" => man(&arguments[0], out)?,
            "pwd" => writeln!(out, "{}", self.directory)?,
            _ => self.tree(arguments, out)?,
        }
        Ok(After::GoOn)
    }

    fn cat(&self, targets: &[String], out: &mut impl Write) -> io::Result<()> {
        for target in targets {
            let found = glob::find(self.root(), &self.directory, target);
            if found.is_empty() {
                writeln!(out, "cat: {target}: No such file or directory.")?;
            }
            for found in found {
                match found.node {
                    Node::File(file) => writeln!(out, "{file}")?,
                    _ => writeln!(out, "cat: {target}: Is a directory")?,
                }
            }
        }
        Ok(())
    }

    fn cd(&mut self, target: &str, out: &mut impl Write) -> io::Result<()> {
        let found = glob::find(self.root(), &self.directory, target);
        if found.is_empty() {
            writeln!(out, "cd: {target}: no such directory.")?;
        }
        for found in found {
            match found.node.is_directory() {
                true => self.directory = found.absolute_path(),
                false => writeln!(out, "cd: {target}: not a directory.")?,
            }
        }
        Ok(())
    }

    fn find(&self, paths: &[String], out: &mut impl Write) -> io::Result<()> {
        for path in paths {
            let found = glob::find(self.root(), &self.directory, path);
            if found.is_empty() {
                writeln!(out, "find: {path}: no such file or directory.")?;
            }
            for found in found {
                print_below(path, found.node, out)?;
            }
        }
        Ok(())
    }

    fn tree(&self, targets: &[String], out: &mut impl Write) -> io::Result<()> {
        for target in targets {
            let found = glob::find(self.root(), &self.directory, target);
            if found.is_empty() {
                writeln!(out, "tree: {target}: No such file or directory.")?;
            }
            for found in found {
                print_tree(found.node, 0, out)?;
            }
        }
        Ok(())
    }

    fn ls(&self, targets: &[String], out: &mut impl Write) -> io::Result<()> {
        let (mut files, mut directories) = (Vec::new(), Vec::new());
        for target in targets {
            let found = glob::find(self.root(), &self.directory, target);
            if found.is_empty() {
                writeln!(out, "ls: {target}: no such file or directory.")?;
            }
            for found in found {
                match found.node.is_directory() {
                    true => directories.push((found.name().to_owned(), found.node.names())),
                    false => files.push(found.name().to_owned()),
                }
            }
        }
        self.print_columns(&files, out)?;
        let are_named = !files.is_empty() || directories.len() > 1;
        let mut is_first = files.is_empty();
        for (name, entries) in directories {
            if are_named && !entries.is_empty() {
                let gap = if is_first { "" } else { "\n" };
                writeln!(out, "{gap}{name}:")?;
            }
            is_first = false;
            self.print_columns(&entries, out)?;
        }
        Ok(())
    }

    /// In as many columns as the terminal's line takes, one below the other.
    fn print_columns(&self, entries: &[String], out: &mut impl Write) -> io::Result<()> {
        let widths = column_widths(self.width, entries);
        let lines = entries.len().div_ceil(widths.len());
        for line in 0..lines {
            let mut row = String::new();
            for (column, width) in widths.iter().enumerate() {
                let Some(entry) = entries.get(line + column * lines) else { continue };
                row.push_str(entry);
                if column + 1 < widths.len() {
                    row.extend(std::iter::repeat_n(' ', width.saturating_sub(entry.chars().count())));
                }
            }
            writeln!(out, "{row}")?;
        }
        Ok(())
    }

    fn print_history(&self, count: Option<&String>, out: &mut impl Write) -> io::Result<()> {
        let history = self.history.as_deref().unwrap_or_default();
        let count = match count.map(|count| count.parse::<i32>()) {
            None => history.len(),
            Some(Ok(count)) => usize::try_from(count).unwrap_or(0),
            Some(Err(_)) => {
                let wrong = count.map(String::as_str).unwrap_or_default();
                return writeln!(
                    out,
                    "argument numEntriesToShow: could not convert '{wrong}' to Integer (32 bit)"
                );
            }
        };
        let first = history.len().saturating_sub(count);
        for (index, line) in history.iter().enumerate().skip(first) {
            // The sign's place stays empty.
            writeln!(out, "{index:>5}  {line}")?;
        }
        Ok(())
    }

    fn help(&self, out: &mut impl Write) -> io::Result<()> {
        let names: Vec<&str> = self.commands().map(|command| command.name).collect();
        let names = names.join(",");
        writeln!(out, "Welcome to the Apache Kafka metadata shell.\n\nusage:  {{{names}}} ...\n")?;
        writeln!(out, "positional arguments:\n  {{{names}}}")?;
        for command in self.commands() {
            writeln!(out, "    {:<21}{}", command.name, command.description)?;
        }
        Ok(())
    }
}

fn man(name: &str, out: &mut impl Write) -> io::Result<()> {
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return writeln!(out, "man: unknown command {name}. Type help to get a list of commands.");
    };
    writeln!(out, "{name}: {}\n", command.description)?;
    let Some(argument) = &command.argument else { return writeln!(out, "usage: {name}") };
    let shown = argument.name;
    let usage = match (argument.at_least, argument.at_most) {
        (0, 1) => format!("[{shown}]"),
        (0, _) => format!("[{shown} [{shown} ...]]"),
        (_, 1) => shown.to_owned(),
        _ => format!("{shown} [{shown} ...]"),
    };
    writeln!(out, "usage: {name} {usage}\n\npositional arguments:\n  {shown:<23}{}", argument.help)
}

/// Paths as they are meant: here, where none is named.
fn effective(paths: &[String]) -> Vec<String> {
    let mut paths: Vec<String> = paths.iter().filter(|path| !path.is_empty()).cloned().collect();
    if paths.is_empty() {
        paths.push(".".to_owned());
    }
    paths
}

fn print_below(path: &str, node: Node<'_>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{path}")?;
    for name in node.names() {
        let Some(child) = node.child(&name) else { continue };
        let separator = if path == "/" { "" } else { "/" };
        print_below(&format!("{path}{separator}{name}"), child, out)?;
    }
    Ok(())
}

fn print_tree(node: Node<'_>, depth: usize, out: &mut impl Write) -> io::Result<()> {
    let indent = "  ".repeat(depth);
    if let Node::File(file) = node {
        return writeln!(out, "{indent}{file}");
    }
    for name in node.names() {
        writeln!(out, "{indent}{name}:")?;
        if let Some(child) = node.child(&name) {
            print_tree(child, depth + 1, out)?;
        }
    }
    Ok(())
}

/// The widths of as many columns as the terminal's line takes.
fn column_widths(width: Option<usize>, entries: &[String]) -> Vec<usize> {
    let most = width.map_or(1, |width| width / 4).max(1);
    for columns in (2..=most).rev() {
        let lines = entries.len().div_ceil(columns);
        let mut widths = vec![0; columns];
        for (index, entry) in entries.iter().enumerate() {
            let of_column = &mut widths[index / lines.max(1)];
            *of_column = (*of_column).max(entry.chars().count() + 2);
        }
        let is_full = widths.last().is_some_and(|last| *last > 0);
        if is_full && width.is_some_and(|width| widths.iter().sum::<usize>() <= width) {
            return widths;
        }
    }
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(shell: &mut Shell<'_>, line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let mut out = Vec::new();
        assert_eq!(shell.run(&words, &mut out).unwrap(), After::GoOn);
        String::from_utf8(out).unwrap()
    }

    fn shell(image: &MetadataImage) -> Shell<'_> {
        Shell { image, directory: "/".to_owned(), history: Some(Vec::new()), width: None }
    }

    #[test]
    fn directories_are_listed_and_entered() {
        let image = MetadataImage::empty();
        let mut shell = shell(&image);
        assert_eq!(said(&mut shell, "ls"), "image\nlocal\n");
        assert_eq!(said(&mut shell, "cd image"), "");
        assert_eq!(said(&mut shell, "pwd"), "/image\n");
        assert_eq!(
            said(&mut shell, "ls cluster topics"),
            "cluster:\nbrokers\ncontrollers\n\ntopics:\nbyId\nbyName\n"
        );
        assert_eq!(said(&mut shell, "find cluster"), "cluster\ncluster/brokers\ncluster/controllers\n");
        assert_eq!(
            said(&mut shell, "cat provenance"),
            "offset -1, epoch -1, time 1969-12-31T23:59:59.999Z[UTC]\n"
        );
        assert_eq!(said(&mut shell, "tree producerIds"), "nextProducerId:\n  -1\n");
        assert_eq!(said(&mut shell, "cd nowhere"), "cd: nowhere: no such directory.\n");
        assert_eq!(said(&mut shell, "cd provenance"), "cd: provenance: not a directory.\n");
        assert_eq!(said(&mut shell, "cat cluster"), "cat: cluster: Is a directory\n");
        assert_eq!(said(&mut shell, "ls s*"), "SCRAM-SHA-256\nSCRAM-SHA-512\n");
    }

    #[test]
    fn what_is_no_command_is_said() {
        let image = MetadataImage::empty();
        let mut alone = Shell { history: None, ..shell(&image) };
        assert_eq!(
            said(&mut alone, "pwd"),
            "invalid choice: 'pwd' (choose from 'cat', 'find', 'ls', 'tree')\n"
        );
        assert_eq!(said(&mut alone, "cat"), "too few arguments\n");
        let mut shell = shell(&image);
        assert_eq!(said(&mut shell, "pwd x y"), "unrecognized arguments: 'x y'\n");
        assert_eq!(
            said(&mut shell, "man nothing"),
            "man: unknown command nothing. Type help to get a list of commands.\n"
        );
        assert_eq!(shell.run(&["exit".to_owned()], &mut Vec::new()).unwrap(), After::Exit);
        assert_eq!(said(&mut shell, ""), "");
    }

    #[test]
    fn columns_fill_the_line() {
        let entries: Vec<String> = ["one", "two", "three", "four", "five"].map(str::to_owned).into();
        assert_eq!(column_widths(None, &entries), [0]);
        assert_eq!(column_widths(Some(80), &entries), [5, 5, 7, 6, 6]);
        assert_eq!(column_widths(Some(20), &entries), [5, 7, 6]);
        assert_eq!(column_widths(Some(6), &entries), [0]);
        let image = MetadataImage::empty();
        let mut shell = Shell { width: Some(20), ..shell(&image) };
        assert_eq!(said(&mut shell, "ls"), "image  local\n");
    }

    #[test]
    fn the_history_is_numbered() {
        let image = MetadataImage::empty();
        let mut shell = shell(&image);
        shell.history = Some(vec!["ls".to_owned(), "pwd".to_owned()]);
        assert_eq!(said(&mut shell, "history"), "    0  ls\n    1  pwd\n");
        assert_eq!(said(&mut shell, "history 1"), "    1  pwd\n");
    }
}
