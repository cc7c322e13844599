//! Paths with patterns in them (`org.apache.kafka.shell.glob`): `?`, `*` and `{one,other}` in each component.

use super::node::Node;

/// One component of a path: a name, or a pattern of names.
enum Component {
    Name(String),
    Pattern(fancy_regex::Regex),
}

impl Component {
    fn new(text: &str) -> Component {
        // What is no pattern that can be read is a name.
        let regex = expression(text).and_then(|expression| fancy_regex::Regex::new(&expression).ok());
        regex.map_or_else(|| Component::Name(text.to_owned()), Component::Pattern)
    }
}

/// The regular expression of a pattern; none for a name, and for what is open or nested.
fn expression(glob: &str) -> Option<String> {
    let mut expression = String::from("^");
    let (mut is_pattern, mut in_group) = (false, false);
    let mut letters = glob.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '?' => expression.push('.'),
            '*' => expression.push_str(".*"),
            '\\' => {
                expression.push_str(&fancy_regex::escape(
                    letters.next().map(String::from).as_deref().unwrap_or("\\"),
                ));
                continue;
            }
            '{' if in_group => return None,
            '{' => {
                in_group = true;
                expression.push_str("(?:(?:");
            }
            ',' if in_group => expression.push_str(")|(?:"),
            '}' if in_group => {
                in_group = false;
                expression.push_str("))");
            }
            other => {
                expression.push_str(&fancy_regex::escape(other.encode_utf8(&mut [0; 4])));
                continue;
            }
        }
        is_pattern = true;
    }
    (is_pattern && !in_group).then(|| expression + "$")
}

/// Something that a path names.
pub(super) struct Found<'a> {
    path: Vec<String>,
    pub(super) node: Node<'a>,
}

impl Found<'_> {
    pub(super) fn name(&self) -> &str {
        self.path.last().map_or("/", String::as_str)
    }

    pub(super) fn absolute_path(&self) -> String {
        format!("/{}", self.path.join("/"))
    }
}

/// The components of a path without `.` and `..`, from the root on.
pub(super) fn components(directory: &str, path: &str) -> Vec<String> {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    let mut components: Vec<String> = Vec::new();
    for component in whole.split('/').filter(|component| !component.is_empty() && *component != ".") {
        match component {
            ".." => drop(components.pop()),
            name => components.push(name.to_owned()),
        }
    }
    components
}

/// What a path names, in the order of the names.
pub(super) fn find<'a>(root: Node<'a>, directory: &str, path: &str) -> Vec<Found<'a>> {
    let mut found = vec![Found { path: Vec::new(), node: root }];
    for component in components(directory, path) {
        let component = Component::new(&component);
        let mut next = Vec::new();
        for Found { path, node } in found {
            let names = match &component {
                Component::Name(name) => vec![name.clone()],
                Component::Pattern(regex) => {
                    let mut names = node.names();
                    names.retain(|name| regex.is_match(name).unwrap_or(false));
                    names
                }
            };
            for name in names {
                let Some(child) = node.child(&name) else { continue };
                let mut path = path.clone();
                path.push(name);
                next.push(Found { path, node: child });
            }
        }
        found = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(glob: &str, name: &str) -> bool {
        match Component::new(glob) {
            Component::Name(own) => own == name,
            Component::Pattern(regex) => regex.is_match(name).unwrap(),
        }
    }

    #[test]
    fn patterns_are_those_of_kafkas_shell() {
        for (glob, yes, no) in [
            ("a", "a", "aa"),
            ("a*", "abc", "ba"),
            ("a?c", "abc", "ac"),
            ("{foo,bar*}", "barley", "fo"),
            ("a.b", "a.b", "axb"),
            ("a\\*", "a\\*", "a*"),
            ("{a,{b}}", "{a,{b}}", "a"),
            ("{a", "{a", "a"),
            ("a,b", "a,b", "a"),
        ] {
            assert!(matches(glob, yes), "{glob} {yes}");
            assert!(!matches(glob, no), "{glob} {no}");
        }
    }

    #[test]
    fn dots_are_taken_out_of_paths() {
        assert_eq!(components("/", "a//b/./c/.."), ["a", "b"]);
        assert_eq!(components("/image", "../local"), ["local"]);
        assert_eq!(components("/image", "/local/../.."), [""; 0]);
    }
}
