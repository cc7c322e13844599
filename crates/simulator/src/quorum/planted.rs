//! Bugs in what a node does with its disk.

use std::path::PathBuf;

use crate::machine::Machine;

/// Less than the file `quorum-state` needs.
const TOO_LITTLE: u64 = 200;

/// On a full disk the file of a vote counts as written, and is not.
pub(super) struct UnwrittenVote {
    path: PathBuf,
    content: Option<Vec<u8>>,
    room: u64,
}

impl UnwrittenVote {
    /// There is room from now on, if there was too little.
    pub fn plant(machine: &Machine) -> Option<UnwrittenVote> {
        let room = machine.disk.room().filter(|room| *room < TOO_LITTLE)?;
        let path = machine.disk.path().join("data/__cluster_metadata-0/quorum-state");
        let content = io::fs::read(&path).ok();
        machine.has_room();
        Some(UnwrittenVote { path, content, room })
    }

    /// What was written is not there.
    pub fn end(self, machine: &Machine) {
        if io::fs::read(&self.path).ok() != self.content {
            // Where the disk has stopped by now, the vote is there.
            let _ = match &self.content {
                Some(content) => self.put_back(content),
                None => io::fs::remove_file(&self.path),
            };
        }
        machine.has_room_for(self.room);
    }

    fn put_back(&self, content: &[u8]) -> std::io::Result<()> {
        let temporary = self.path.with_extension("old");
        io::fs::write(&temporary, content)?;
        io::fs::File::open(&temporary)?.sync_all()?;
        io::fs::rename(&temporary, &self.path)
    }
}
