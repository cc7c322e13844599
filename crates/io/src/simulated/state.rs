//! What is on the disk, and what would be left of it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::Forgets;
use super::random::SeededRandom;

/// Bytes that reach the disk together or not at all.
const PAGE: usize = 4096;

/// A file or directory; names point to it.
pub(crate) type NodeId = usize;

const ROOT: NodeId = 0;

/// How a disk fails. The default does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskFaults {
    /// How many bytes of files there may be. A write beyond is cut off and fails.
    pub capacity: Option<u64>,
    /// Of a million writes, as many fail; a part may be written.
    pub write_errors_per_million: u32,
    /// Of a million syncs, as many fail, and what was not synced before is on the disk or not.
    pub sync_errors_per_million: u32,
    /// Of a million reads, as many fail.
    pub read_errors_per_million: u32,
    /// How long a sync takes, in µs.
    pub sync_us: u64,
}

/// What a disk has done to those who use it, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskDamage {
    /// Writes of which only a part is there: the node stopped in the middle, or lost its power.
    pub torn_writes: u64,
    /// Changes of files and names that were not synced, and went with the power.
    pub lost_changes: u64,
    /// Writes that found no room.
    pub refused_for_room: u64,
    /// Reads, writes and syncs that failed by [`DiskFaults`].
    pub errors: u64,
    /// Syncs that took their time.
    pub slow_syncs: u64,
    /// Bits that flipped.
    pub flipped_bits: u64,
}

#[derive(Debug)]
enum Node {
    File(FileNode),
    Dir(DirNode),
}

#[derive(Debug, Default)]
pub(crate) struct FileNode {
    /// What is read.
    pub content: Vec<u8>,
    /// What is on the disk for sure.
    durable: Vec<u8>,
    /// What was done since.
    pending: Vec<Change>,
    pub modified_ms: i64,
}

#[derive(Debug)]
enum Change {
    Write { position: u64, bytes: Vec<u8> },
    SetLen(u64),
}

#[derive(Debug, Default)]
struct DirNode {
    entries: BTreeMap<String, NodeId>,
    durable: BTreeMap<String, NodeId>,
    pending: Vec<NameChange>,
}

#[derive(Debug)]
enum NameChange {
    Link(String, NodeId),
    Unlink(String),
    Rename(String, String, NodeId),
}

pub(crate) struct State {
    nodes: Vec<Node>,
    random: SeededRandom,
    /// Counts the processes that used the disk.
    pub incarnation: u64,
    /// How often the machine was started again.
    pub boots: u64,
    pub hides_boots: bool,
    pub now_ms: i64,
    pub faults: DiskFaults,
    pub halt_after: Option<u64>,
    pub halted: bool,
    pub forgets: Option<Forgets>,
    pub used: u64,
    pub changes: u64,
    pub trace: u64,
    pub delay_us: u64,
    pub damage: DiskDamage,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} nodes, {} bytes, {} changes", self.nodes.len(), self.used, self.changes)
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { position, bytes } => write_into(content, *position as usize, bytes),
            Change::SetLen(length) => content.resize(*length as usize, 0),
        }
    }
}

fn write_into(content: &mut Vec<u8>, position: usize, bytes: &[u8]) {
    let end = position + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(position..end) {
        place.copy_from_slice(bytes);
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, NodeId>) {
        match self {
            NameChange::Link(name, node) => drop(names.insert(name.clone(), *node)),
            NameChange::Unlink(name) => drop(names.remove(name)),
            NameChange::Rename(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }
}

fn stopped() -> io::Error {
    io::Error::other("the simulated node has stopped")
}

impl State {
    pub fn new(seed: u64) -> State {
        State {
            nodes: vec![Node::Dir(DirNode::default())],
            random: SeededRandom::new(seed),
            incarnation: 0,
            boots: 0,
            hides_boots: false,
            now_ms: 0,
            faults: DiskFaults::default(),
            halt_after: None,
            halted: false,
            forgets: None,
            used: 0,
            changes: 0,
            trace: 0xcbf2_9ce4_8422_2325,
            delay_us: 0,
            damage: DiskDamage::default(),
        }
    }

    /// Fails when the node has stopped, or when an open file is of a process that is gone.
    pub fn check(&self, incarnation: Option<u64>) -> io::Result<()> {
        if self.halted || incarnation.is_some_and(|of| of != self.incarnation) {
            Err(stopped())
        } else {
            Ok(())
        }
    }

    fn note(&mut self, what: u64, position: u64, length: u64) {
        for value in [what, position, length] {
            self.trace = (self.trace ^ value).wrapping_mul(0x0100_0000_01b3).rotate_left(5);
        }
    }

    /// Counts a change; `Err` if the node stops instead of doing it.
    fn change(&mut self, what: u64, position: u64, length: u64) -> io::Result<()> {
        self.check(None)?;
        if let Some(left) = &mut self.halt_after {
            if *left == 0 {
                self.halted = true;
                return Err(stopped());
            }
            *left -= 1;
        }
        self.changes += 1;
        self.note(what, position, length);
        Ok(())
    }

    /// A sync takes its time.
    fn takes_time(&mut self) {
        self.delay_us += self.faults.sync_us;
        self.damage.slow_syncs += u64::from(self.faults.sync_us > 0);
    }

    fn fails(&mut self, per_million: u32) -> bool {
        let fails = per_million > 0 && self.random.below(1_000_000) < u64::from(per_million);
        self.damage.errors += u64::from(fails);
        fails
    }

    pub fn find(&self, names: &[String]) -> Option<NodeId> {
        names.iter().try_fold(ROOT, |node, name| match self.nodes.get(node)? {
            Node::Dir(dir) => dir.entries.get(name).copied(),
            Node::File(_) => None,
        })
    }

    pub fn is_dir(&self, node: NodeId) -> bool {
        matches!(self.nodes.get(node), Some(Node::Dir(_)))
    }

    pub fn file(&mut self, node: NodeId) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(node) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Dir(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(stopped()),
        }
    }

    fn dir(&mut self, names: &[String]) -> io::Result<&mut DirNode> {
        match self.find(names).and_then(|node| self.nodes.get_mut(node)) {
            Some(Node::Dir(dir)) => Ok(dir),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// A directory and the name in it.
    fn parent<'n>(&mut self, names: &'n [String]) -> io::Result<(&mut DirNode, &'n String)> {
        let (name, dir) = names.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.dir(dir)?, name))
    }

    fn link(&mut self, names: &[String], node: Node) -> io::Result<NodeId> {
        let id = self.nodes.len();
        let (dir, name) = self.parent(names)?;
        dir.entries.insert(name.clone(), id);
        dir.pending.push(NameChange::Link(name.clone(), id));
        self.nodes.push(node);
        Ok(id)
    }

    pub fn open(&mut self, names: &[String], create: bool, truncate: bool) -> io::Result<NodeId> {
        self.check(None)?;
        match self.find(names) {
            Some(node) if truncate => {
                self.set_len(node, 0)?;
                Ok(node)
            }
            // A directory can be opened too: it fails when it is read.
            Some(node) => Ok(node),
            None if create => {
                self.parent(names)?;
                self.change(1, 0, 0)?;
                let modified_ms = self.now_ms;
                self.link(names, Node::File(FileNode { modified_ms, ..FileNode::default() }))
            }
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub fn create_dir_all(&mut self, names: &[String]) -> io::Result<()> {
        for depth in 1..=names.len() {
            let names = names.get(..depth).unwrap_or_default();
            match self.find(names) {
                Some(node) if self.is_dir(node) => {}
                Some(_) => return Err(io::ErrorKind::AlreadyExists.into()),
                None => {
                    self.change(2, 0, 0)?;
                    self.link(names, Node::Dir(DirNode::default()))?;
                }
            }
        }
        Ok(())
    }

    pub fn read_dir(&mut self, names: &[String]) -> io::Result<Vec<(String, bool)>> {
        self.check(None)?;
        let entries: Vec<_> =
            self.dir(names)?.entries.iter().map(|(name, node)| (name.clone(), *node)).collect();
        Ok(entries.into_iter().map(|(name, node)| (name, self.is_dir(node))).collect())
    }

    pub fn read_whole(&mut self, node: NodeId) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.file(node)?.content.len()];
        self.read_at(node, &mut bytes, 0)?;
        Ok(bytes)
    }

    pub fn read_at(&mut self, node: NodeId, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        if self.fails(self.faults.read_errors_per_million) {
            return Err(rustix::io::Errno::IO.into());
        }
        let rest = self.file(node)?.content.get(position as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    pub fn write_at(&mut self, node: NodeId, bytes: &[u8], position: u64) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let whole = bytes.len();
        if let Err(error) = self.change(3, position, whole as u64) {
            // The node stops in the middle of it.
            if self.halt_after.take().is_some() {
                self.damage.torn_writes += 1;
                let torn = self.random.below(whole as u64) as usize;
                self.write(node, bytes.get(..torn).unwrap_or_default(), position)?;
            }
            return Err(error);
        }
        if self.fails(self.faults.write_errors_per_million) {
            let torn = self.random.below(whole as u64) as usize;
            self.write(node, bytes.get(..torn).unwrap_or_default(), position)?;
            return Err(rustix::io::Errno::IO.into());
        }
        let length = self.file(node)?.content.len() as u64;
        let growth = (position + whole as u64).saturating_sub(length);
        let room = self.faults.capacity.map_or(growth, |capacity| capacity.saturating_sub(self.used));
        if growth > room {
            self.damage.refused_for_room += 1;
            let fits = whole - (growth - room).min(whole as u64) as usize;
            self.write(node, bytes.get(..fits).unwrap_or_default(), position)?;
            return Err(rustix::io::Errno::NOSPC.into());
        }
        self.write(node, bytes, position)?;
        Ok(whole)
    }

    fn write(&mut self, node: NodeId, bytes: &[u8], position: u64) -> io::Result<()> {
        let now_ms = self.now_ms;
        let file = self.file(node)?;
        let before = file.content.len();
        file.modified_ms = now_ms;
        write_into(&mut file.content, position as usize, bytes);
        let growth = file.content.len() - before;
        file.pending.push(Change::Write { position, bytes: bytes.to_vec() });
        self.used += growth as u64;
        Ok(())
    }

    pub fn set_len(&mut self, node: NodeId, length: u64) -> io::Result<()> {
        self.file(node)?;
        self.change(4, length, 0)?;
        let file = self.file(node)?;
        let before = file.content.len() as u64;
        if before != length {
            let change = Change::SetLen(length);
            change.apply(&mut file.content);
            file.pending.push(change);
            self.used = self.used.saturating_sub(before) + length;
        }
        Ok(())
    }

    pub fn sync_file(&mut self, node: NodeId, path: &Path) -> io::Result<()> {
        self.file(node)?;
        self.change(5, 0, 0)?;
        self.takes_time();
        let fails = self.fails(self.faults.sync_errors_per_million);
        if self.forgets.as_ref().is_some_and(|forgets| forgets(path)) {
            return Ok(());
        }
        let file = self.file(node)?;
        let pending = std::mem::take(&mut file.pending);
        if fails {
            return Err(rustix::io::Errno::IO.into());
        }
        for change in pending {
            change.apply(&mut file.durable);
        }
        Ok(())
    }

    pub fn sync_dir(&mut self, names: &[String], path: &Path) -> io::Result<()> {
        self.dir(names)?;
        self.change(6, 0, 0)?;
        self.takes_time();
        let fails = self.fails(self.faults.sync_errors_per_million);
        if self.forgets.as_ref().is_some_and(|forgets| forgets(path)) {
            return Ok(());
        }
        if fails {
            return Err(rustix::io::Errno::IO.into());
        }
        let dir = self.dir(names)?;
        for change in std::mem::take(&mut dir.pending) {
            change.apply(&mut dir.durable);
        }
        Ok(())
    }

    pub fn sync_all(&mut self) -> io::Result<()> {
        self.check(None)?;
        self.change(9, 0, 0)?;
        self.takes_time();
        let fails = self.fails(self.faults.sync_errors_per_million);
        for node in &mut self.nodes {
            match node {
                Node::File(file) => {
                    for change in std::mem::take(&mut file.pending).iter().filter(|_| !fails) {
                        change.apply(&mut file.durable);
                    }
                }
                Node::Dir(dir) if !fails => {
                    for change in std::mem::take(&mut dir.pending) {
                        change.apply(&mut dir.durable);
                    }
                }
                Node::Dir(_) => {}
            }
        }
        if fails { Err(rustix::io::Errno::IO.into()) } else { Ok(()) }
    }

    pub fn rename(&mut self, from: &[String], to: &[String]) -> io::Result<()> {
        let node = self.find(from).ok_or(io::ErrorKind::NotFound)?;
        let (Some((old, from_dir)), Some((new, to_dir))) = (from.split_last(), to.split_last()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if from_dir != to_dir {
            // Nothing of Kafka's does that: a name that moves between directories is two things to lose.
            return Err(rustix::io::Errno::XDEV.into());
        }
        if self.find(to).is_some_and(|there| self.is_dir(there) != self.is_dir(node)) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.change(7, 0, 0)?;
        self.release(to);
        let change = NameChange::Rename(old.clone(), new.clone(), node);
        let dir = self.dir(to_dir)?;
        change.apply(&mut dir.entries);
        dir.pending.push(change);
        Ok(())
    }

    pub fn remove(&mut self, names: &[String], is_dir: bool) -> io::Result<()> {
        self.check(None)?;
        let node = self.find(names).ok_or(io::ErrorKind::NotFound)?;
        if self.is_dir(node) != is_dir {
            return Err(
                if is_dir { io::ErrorKind::NotADirectory } else { io::ErrorKind::IsADirectory }.into()
            );
        }
        if is_dir {
            for (name, inner_is_dir) in self.read_dir(names)? {
                let inner: Vec<String> = names.iter().cloned().chain([name]).collect();
                self.remove(&inner, inner_is_dir)?;
            }
        }
        self.change(8, 0, 0)?;
        self.release(names);
        let (dir, name) = self.parent(names)?;
        dir.entries.remove(name);
        dir.pending.push(NameChange::Unlink(name.clone()));
        Ok(())
    }

    /// Gives back the room of a file that loses its name.
    fn release(&mut self, names: &[String]) {
        if let Some(node) = self.find(names)
            && let Ok(file) = self.file(node)
        {
            let length = file.content.len() as u64;
            self.used = self.used.saturating_sub(length);
        }
    }

    pub fn flip_bit(&mut self, node: NodeId) -> bool {
        let mut random = self.random.clone();
        let Ok(file) = self.file(node) else { return false };
        let at = random.below(file.content.len() as u64) as usize;
        let bit = 1u8 << random.below(8);
        self.random = random;
        self.flip(node, at, bit)
    }

    pub fn flip(&mut self, node: NodeId, at: usize, bit: u8) -> bool {
        let Ok(file) = self.file(node) else { return false };
        let mut flipped = false;
        for bytes in [&mut file.content, &mut file.durable] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= bit;
                flipped = true;
            }
        }
        self.damage.flipped_bits += u64::from(flipped);
        self.note(9, at as u64, u64::from(bit));
        flipped
    }

    pub fn kill(&mut self) {
        self.incarnation += 1;
        self.halted = false;
        self.halt_after = None;
        self.note(10, 0, 0);
    }

    pub fn lose_power(&mut self) {
        self.kill();
        self.boots += u64::from(!self.hides_boots);
        let (random, damage) = (&mut self.random, &mut self.damage);
        for node in &mut self.nodes {
            match node {
                Node::File(file) => {
                    let pending = std::mem::take(&mut file.pending);
                    lose_writes(&mut file.durable, &pending, random, damage);
                    file.content.clone_from(&file.durable);
                }
                Node::Dir(dir) => {
                    let pending = std::mem::take(&mut dir.pending);
                    let kept = what_is_kept(pending.len(), random);
                    damage.lost_changes += (pending.len() - kept) as u64;
                    for change in pending.iter().take(kept) {
                        change.apply(&mut dir.durable);
                    }
                    dir.entries.clone_from(&dir.durable);
                }
            }
        }
        self.used = self.count_used(ROOT);
        self.note(11, self.used, 0);
    }

    fn count_used(&self, node: NodeId) -> u64 {
        match self.nodes.get(node) {
            Some(Node::File(file)) => file.content.len() as u64,
            Some(Node::Dir(dir)) => dir.entries.values().map(|node| self.count_used(*node)).sum(),
            None => 0,
        }
    }
}

/// How many of `count` changes were on the disk when the power went: often none or all.
fn what_is_kept(count: usize, random: &mut SeededRandom) -> usize {
    match random.below(3) {
        0 => 0,
        1 => count,
        _ => random.below(count as u64 + 1) as usize,
    }
}

/// Applies what reached the disk of `pending`: a beginning, its last write torn, and sometimes with pages missing before.
fn lose_writes(
    durable: &mut Vec<u8>,
    pending: &[Change],
    random: &mut SeededRandom,
    damage: &mut DiskDamage,
) {
    let kept = what_is_kept(pending.len(), random);
    damage.lost_changes += (pending.len() - kept) as u64;
    let with_holes = random.chance(20);
    for (index, change) in pending.iter().enumerate().take(kept) {
        match change {
            Change::Write { position, bytes } => {
                let torn = kept < pending.len() && index + 1 == kept && random.chance(50);
                let length = if torn { random.below(bytes.len() as u64 + 1) as usize } else { bytes.len() };
                damage.torn_writes += u64::from(length < bytes.len());
                let mut at = 0;
                while at < length {
                    let place = *position as usize + at;
                    let end = length.min(at + PAGE - place % PAGE);
                    if with_holes && random.chance(15) {
                        // The file is as long as if the page had been written.
                        let reached = *position as usize + end;
                        durable.resize(durable.len().max(reached), 0);
                    } else {
                        write_into(durable, place, bytes.get(at..end).unwrap_or_default());
                    }
                    at = end;
                }
            }
            Change::SetLen(_) => change.apply(durable),
        }
    }
}
