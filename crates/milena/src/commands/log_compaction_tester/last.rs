//! The last update of each key, in bounded memory: what is more goes to temporary files that are sorted, and is merged at the end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

/// The number of a topic, and a key in it.
pub(super) type Key = (u32, u64);

/// A key's last update: a value, or none where it was deleted.
pub(super) type Update = (Key, Option<u64>);

/// So many keys are held in memory: some 50 MB.
const IN_MEMORY: usize = 1_000_000;

/// So many files are open at once.
const FILES: usize = 64;

/// Takes updates in their order.
pub(super) struct LastUpdates {
    recent: BTreeMap<Key, Option<u64>>,
    /// Updates before those, each file in the order of its keys, a later file's over an earlier one's.
    files: Vec<File>,
    in_memory: usize,
}

impl LastUpdates {
    /// None yet.
    pub(super) fn new() -> LastUpdates {
        LastUpdates::within(IN_MEMORY)
    }

    fn within(in_memory: usize) -> LastUpdates {
        LastUpdates { recent: BTreeMap::new(), files: Vec::new(), in_memory }
    }

    /// An update that takes the place of those before it.
    ///
    /// # Errors
    /// Those of the temporary files.
    pub(super) fn insert(&mut self, key: Key, value: Option<u64>) -> io::Result<()> {
        self.recent.insert(key, value);
        if self.recent.len() < self.in_memory {
            return Ok(());
        }
        let recent = std::mem::take(&mut self.recent);
        self.files.push(write(recent.into_iter().map(Ok))?);
        if self.files.len() == FILES {
            let merged = Merged::new(std::mem::take(&mut self.files), BTreeMap::new())?;
            self.files.push(write(merged)?);
        }
        Ok(())
    }

    /// The last of each, in the order of the keys.
    ///
    /// # Errors
    /// Those of the temporary files.
    pub(super) fn into_sorted(self) -> io::Result<Merged> {
        Merged::new(self.files, self.recent)
    }
}

/// A file that has no name, and goes with its handle.
fn write(updates: impl Iterator<Item = io::Result<Update>>) -> io::Result<File> {
    let mut writer = BufWriter::new(tempfile::tempfile()?);
    for update in updates {
        let ((topic, key), value) = update?;
        writer.write_all(&topic.to_be_bytes())?;
        writer.write_all(&key.to_be_bytes())?;
        writer.write_all(&[u8::from(value.is_some())])?;
        writer.write_all(&value.unwrap_or(0).to_be_bytes())?;
    }
    let mut file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.rewind()?;
    Ok(file)
}

/// The next update in a file; none at its end.
fn read(reader: &mut impl Read) -> io::Result<Option<Update>> {
    let mut topic = [0; 4];
    match reader.read_exact(&mut topic) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let (mut key, mut has_value, mut value) = ([0; 8], [0], [0; 8]);
    reader.read_exact(&mut key)?;
    reader.read_exact(&mut has_value)?;
    reader.read_exact(&mut value)?;
    let value = (has_value != [0]).then(|| u64::from_be_bytes(value));
    Ok(Some(((u32::from_be_bytes(topic), u64::from_be_bytes(key)), value)))
}

enum Source {
    File(BufReader<File>),
    Memory(std::collections::btree_map::IntoIter<Key, Option<u64>>),
}

impl Source {
    fn next(&mut self) -> io::Result<Option<Update>> {
        match self {
            Source::File(reader) => read(reader),
            Source::Memory(updates) => Ok(updates.next()),
        }
    }
}

/// Sorted updates of several sources, of each key that of the last source.
pub(super) struct Merged {
    /// With the update that comes next.
    sources: Vec<(Source, Option<Update>)>,
}

impl Merged {
    fn new(files: Vec<File>, recent: BTreeMap<Key, Option<u64>>) -> io::Result<Merged> {
        let files = files.into_iter().map(|file| Source::File(BufReader::new(file)));
        let sources = files.chain([Source::Memory(recent.into_iter())]);
        let sources = sources.map(|mut source| source.next().map(|next| (source, next)));
        Ok(Merged { sources: sources.collect::<io::Result<_>>()? })
    }

    fn take(&mut self) -> io::Result<Option<Update>> {
        let Some(key) = self.sources.iter().filter_map(|(_, next)| next.map(|(key, _)| key)).min() else {
            return Ok(None);
        };
        let mut last = None;
        for (source, next) in &mut self.sources {
            if next.is_some_and(|(of, _)| of == key) {
                last = *next;
                *next = source.next()?;
            }
        }
        Ok(last)
    }
}

impl Iterator for Merged {
    type Item = io::Result<Update>;

    fn next(&mut self) -> Option<io::Result<Update>> {
        self.take().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_each_key_is_found_however_little_memory_there_is() {
        for in_memory in [1, 2, 3, 7, 1000] {
            let mut last = LastUpdates::within(in_memory);
            let mut expected = BTreeMap::new();
            // More files than may be open at once, too.
            for number in 0..400_u64 {
                let key = ((number % 3) as u32, number * 7919 % 23);
                let value = (number % 5 > 0).then_some(number);
                last.insert(key, value).unwrap();
                expected.insert(key, value);
                assert!(last.recent.len() < in_memory.max(2) && last.files.len() <= FILES);
            }
            let sorted: Vec<Update> = last.into_sorted().unwrap().map(Result::unwrap).collect();
            assert_eq!(sorted, expected.into_iter().collect::<Vec<_>>(), "{in_memory} in memory");
        }
    }
}
