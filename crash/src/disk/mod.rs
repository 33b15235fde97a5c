//! A disk after a power cut, made from the record that the preloaded library wrote.
//!
//! A file holds what was written before its last completed sync began, and of what came later a
//! seeded choice, down to single sectors. A name stands as at the last completed sync of its
//! directory; of what changed since, a seeded choice of the changes. When a sync failed, what it
//! should have written to a file may be lost for good, though a later sync succeeds. Names are not:
//! a file system keeps them in a journal of its own, and stops when it cannot.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use fastrand::Rng;

mod recording;
#[cfg(test)]
mod tests;

pub(crate) use recording::Recording;
use recording::{Event, Record};

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// A disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// By an id of the file's own: a file system gives the inode of one that is gone to a new one,
    /// and until that is synced the old name may come back, with the old file.
    files: BTreeMap<u64, File>,
    /// The ids of the files that have the inodes now.
    ids: BTreeMap<u64, u64>,
    created: u64,
    /// By path; the disk's own is empty.
    directories: BTreeMap<String, Directory>,
    /// Syncs under way: the number of the record with which each began, and a directory's names.
    syncs: BTreeMap<u64, (usize, Names)>,
}

#[derive(Debug, Default)]
struct File {
    durable: Vec<u8>,
    /// Not synced: the number of the record, and what it did.
    pending: Vec<(usize, Change)>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Truncate(usize),
}

#[derive(Debug, Default)]
struct Directory {
    durable: Names,
    /// With which record the sync began that made them durable: another may have begun before it
    /// and end after it.
    synced: usize,
    pending: Vec<(usize, Vec<Entry>)>,
}

/// Where the names of a directory lead: to the ids of files; of directories they say nothing.
type Names = BTreeMap<String, u64>;

/// A name that leads somewhere, or nowhere any more.
type Entry = (String, Option<u64>);

impl Directory {
    /// The names that a process sees, synced or not.
    fn present(&self) -> Names {
        let mut names = self.durable.clone();
        for (_, entries) in &self.pending {
            enter(&mut names, entries);
        }
        names
    }
}

fn enter(names: &mut Names, entries: &[Entry]) {
    for (name, to) in entries {
        match to {
            Some(to) => names.insert(name.clone(), *to),
            None => names.remove(name),
        };
    }
}

impl Disk {
    fn empty() -> Self {
        let root = (String::new(), Directory::default());
        Self {
            directories: BTreeMap::from([root]),
            ..Self::default()
        }
    }

    fn apply(&mut self, number: usize, record: &Record, rng: &mut Rng) {
        match &record.event {
            Event::Create => {
                let id = self.create(record.inode);
                self.rename(number, &[(&record.path, Some(id))]);
            }
            Event::MakeDirectory => {
                self.directories
                    .insert(record.path.clone(), Directory::default());
                let id = self.id_of(record.inode);
                self.rename(number, &[(&record.path, Some(id))]);
            }
            Event::Write { offset, data } => {
                let (offset, data) = (*offset, data.clone());
                let file = self.file(record.inode);
                file.pending.push((number, Change::Write { offset, data }));
            }
            Event::Truncate(length) => {
                let file = self.file(record.inode);
                file.pending.push((number, Change::Truncate(*length)));
            }
            Event::SyncBegins(sync, entries) => {
                let entries = entries.iter();
                let names = entries.map(|(name, inode)| (name.clone(), self.id_of(*inode)));
                let names = names.collect();
                self.syncs.insert(*sync, (number, names));
            }
            Event::Synced(sync) => self.synced(*sync, record),
            Event::SyncFailed(sync) => {
                let begun = self.syncs.remove(sync).map_or(0, |(begun, _)| begun);
                if !self.directories.contains_key(&record.path) {
                    let pending = &mut self.file(record.inode).pending;
                    pending.retain(|(number, _)| *number > begun || rng.bool());
                }
            }
            Event::Rename(to) => {
                let moved = self.target_of(&record.path);
                self.rename(number, &[(&record.path, None), (to, moved)]);
            }
            Event::Unlink => self.rename(number, &[(&record.path, None)]),
        }
    }

    /// A file that has the inode from now on.
    fn create(&mut self, inode: u64) -> u64 {
        self.created += 1;
        self.ids.insert(inode, self.created);
        self.files.insert(self.created, File::default());
        self.created
    }

    fn id_of(&mut self, inode: u64) -> u64 {
        match self.ids.get(&inode) {
            Some(id) => *id,
            None => self.create(inode),
        }
    }

    fn file(&mut self, inode: u64) -> &mut File {
        let id = self.id_of(inode);
        self.files.entry(id).or_default()
    }

    fn synced(&mut self, sync: u64, record: &Record) {
        let Some((begun, names)) = self.syncs.remove(&sync) else {
            return;
        };
        if let Some(directory) = self.directories.get_mut(&record.path) {
            if begun >= directory.synced {
                directory.durable = names;
                directory.synced = begun;
                directory.pending.retain(|(number, _)| *number > begun);
            }
        } else {
            let file = self.file(record.inode);
            let (done, pending) = std::mem::take(&mut file.pending)
                .into_iter()
                .partition(|(number, _)| *number < begun);
            let done: Vec<(usize, Change)> = done;
            for (_, change) in &done {
                change.apply(&mut file.durable);
            }
            file.pending = pending;
        }
    }

    /// Changes names of one directory, all at once.
    fn rename(&mut self, number: usize, changes: &[(&str, Option<u64>)]) {
        let Some((first, _)) = changes.first() else {
            return;
        };
        let (parent, _) = split(first);
        let entries = changes
            .iter()
            .map(|(path, to)| (split(path).1.to_owned(), *to));
        let directory = self.directories.entry(parent.to_owned()).or_default();
        directory.pending.push((number, entries.collect()));
    }

    /// Where a name leads, synced or not.
    fn target_of(&self, path: &str) -> Option<u64> {
        let (parent, name) = split(path);
        let directory = self.directories.get(parent)?;
        directory.present().get(name).copied()
    }

    /// Keeps or drops what was not synced: `fate_of` says how, given how many changes a file or
    /// directory has.
    fn settle(&mut self, fate_of: impl Fn(usize, &mut Rng) -> Fate, rng: &mut Rng) {
        for file in self.files.values_mut() {
            let pending = std::mem::take(&mut file.pending);
            let fate = fate_of(pending.len(), rng);
            for (number, (_, change)) in pending.into_iter().enumerate() {
                fate.apply(number, &change, &mut file.durable, rng);
            }
        }
        for directory in self.directories.values_mut() {
            let pending = std::mem::take(&mut directory.pending);
            let fate = fate_of(pending.len(), rng);
            for (number, (_, entries)) in pending.into_iter().enumerate() {
                if !fate.keeps(number, rng) {
                    continue;
                }
                enter(&mut directory.durable, &entries);
            }
        }
    }

    /// Writes it to an empty folder.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        for (path, contents) in self.tree() {
            match contents {
                Some(contents) => std::fs::write(folder.join(path), contents)?,
                None => std::fs::create_dir(folder.join(path))?,
            }
        }
        Ok(())
    }

    /// What lies on it.
    fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        self.list("", &mut tree);
        tree
    }

    fn list(&self, path: &str, tree: &mut Tree) {
        let directory = self.directories.get(path);
        for (name, id) in directory.into_iter().flat_map(|found| &found.durable) {
            let below = join(path, name);
            if self.directories.contains_key(&below) {
                tree.insert(below.clone(), None);
                self.list(&below, tree);
            } else {
                let file = self.files.get(id);
                let contents = file.map_or_else(Vec::new, |file| file.durable.clone());
                tree.insert(below, Some(contents));
            }
        }
    }
}

/// By path from the disk's root, a file's contents or `None` for a directory.
type Tree = BTreeMap<String, Option<Vec<u8>>>;

/// What lies in a folder, but for SQLite's shared memory.
fn tree_of(folder: &Path, path: &str, tree: &mut Tree) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder.join(path))? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().context("a name that is not UTF-8")?;
        let below = join(path, name);
        if entry.file_type()?.is_dir() {
            tree.insert(below.clone(), None);
            tree_of(folder, &below, tree)?;
        } else if !is_shared_memory(name) {
            tree.insert(below, Some(std::fs::read(entry.path())?));
        }
    }
    Ok(())
}

fn is_shared_memory(name: &str) -> bool {
    name.ends_with("-shm")
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => put(file, *offset, data),
            Self::Truncate(length) => file.resize(*length, 0),
        }
    }
}

fn put(file: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(data);
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        return name.to_owned();
    }
    format!("{path}/{name}")
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// What becomes of the changes to one file or directory that were not synced.
enum Fate {
    None,
    All,
    /// The first ones only.
    First(usize),
    /// Each one or not.
    Some,
    /// Each sector or not.
    Torn,
}

impl Fate {
    fn any(count: usize, rng: &mut Rng) -> Self {
        match rng.u8(..5) {
            0 => Self::None,
            1 => Self::All,
            2 => Self::First(rng.usize(..=count)),
            3 => Self::Some,
            _ => Self::Torn,
        }
    }

    fn keeps(&self, number: usize, rng: &mut Rng) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::First(count) => number < *count,
            Self::Some | Self::Torn => rng.bool(),
        }
    }

    fn apply(&self, number: usize, change: &Change, file: &mut Vec<u8>, rng: &mut Rng) {
        match (self, change) {
            (Self::Torn, Change::Write { offset, data }) => {
                let mut at = 0;
                while at < data.len() {
                    let sector_end = SECTOR - (offset + at) % SECTOR;
                    let end = data.len().min(at + sector_end);
                    if rng.bool() {
                        put(file, offset + at, &data[at..end]);
                    }
                    at = end;
                }
            }
            _ if self.keeps(number, rng) => change.apply(file),
            _ => {}
        }
    }
}
