//! The nearest known name to a mistyped one.

/// The closest of `candidates` to `name`, if it is close enough to be what was meant.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.len() / 4).clamp(1, 6);
    candidates
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance over characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_or_nothing() {
        let keys = ["num.partitions", "num.io.threads", "log.dirs", "log.dir"];
        assert_eq!(nearest("num.partition", keys.into_iter()), Some("num.partitions"));
        assert_eq!(nearest("log.drs", keys.into_iter()), Some("log.dirs"));
        assert_eq!(nearest("my.own.key", keys.into_iter()), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
