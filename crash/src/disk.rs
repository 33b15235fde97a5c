//! A disk after a power cut, made from the record that the preloaded library wrote.
//!
//! A file holds what was written before its last completed sync began, and of what came later a
//! seeded choice, down to single sectors. A name stands as at the last completed sync of its
//! directory; of what changed since, a seeded choice of the changes. When a sync failed, what it
//! should have written may be lost for good, though a later sync succeeds.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use fastrand::Rng;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;
/// A record's kind, the length of its path, inode, offset and the length of its data.
const HEADER: usize = 4 + 4 + 8 + 8 + 8;

/// Something that the server did to its disk.
#[derive(Debug)]
struct Record {
    /// The length of the record file with this record.
    position: u64,
    inode: u64,
    path: String,
    event: Event,
}

#[derive(Debug)]
enum Event {
    Create,
    Write {
        offset: usize,
        data: Vec<u8>,
    },
    Truncate(usize),
    /// With the entries of a directory.
    SyncBegins(u64, BTreeMap<String, u64>),
    Synced(u64),
    SyncFailed(u64),
    Rename(String),
    Unlink,
    MakeDirectory,
}

/// All that the server did to its disk.
#[derive(Debug)]
pub(crate) struct Recording {
    records: Vec<Record>,
}

impl Recording {
    /// Reads the file that the preloaded library wrote.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(file)?;
        let mut records = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let (record, next) = record(&bytes, at).with_context(|| format!("record at {at}"))?;
            records.push(record);
            at = next;
        }
        Ok(Self { records })
    }

    /// A position after one of the records.
    pub(crate) fn any_position(&self, rng: &mut Rng) -> u64 {
        let records = &self.records;
        records
            .get(rng.usize(..records.len().max(1)))
            .map_or(0, |record| record.position)
    }

    /// Fails when what it tells of and what the server has left in the folder are not the same: a
    /// call that is not recorded would let what was acknowledged seem lost, or the other way round.
    pub(crate) fn check_complete(&self, folder: &Path) -> anyhow::Result<()> {
        let mut disk = Disk::default();
        let mut rng = Rng::with_seed(0);
        for (number, record) in self.records.iter().enumerate() {
            // What it should have written is in the files still.
            if !matches!(record.event, Event::SyncFailed(_)) {
                disk.apply(number, record, &mut rng);
            }
        }
        disk.settle(|_, _| Fate::All, &mut rng);
        let (told, mut left) = (disk.tree(), Tree::new());
        tree_of(folder, "", &mut left)?;
        for path in told.keys().chain(left.keys()) {
            if told.get(path) != left.get(path) {
                bail!(
                    "{path} is not what the record of {} tells",
                    folder.display()
                );
            }
        }
        Ok(())
    }

    /// The disk after a cut at that position.
    pub(crate) fn cut(&self, position: u64, rng: &mut Rng) -> Disk {
        let mut disk = Disk::default();
        for (number, record) in self.records.iter().enumerate() {
            if record.position > position {
                break;
            }
            disk.apply(number, record, rng);
        }
        disk.settle(Fate::any, rng);
        disk
    }
}

fn record(bytes: &[u8], at: usize) -> anyhow::Result<(Record, usize)> {
    let word = |at: usize| -> anyhow::Result<u64> {
        let word = bytes.get(at..at + 8).context("cut short")?;
        Ok(u64::from_le_bytes(word.try_into()?))
    };
    let kind = word(at)? & 0xffff_ffff;
    let path_length = usize::try_from(word(at)? >> 32)?;
    let (inode, offset) = (word(at + 8)?, word(at + 16)?);
    let path_at = at + HEADER;
    let data_at = path_at + path_length;
    let next = data_at + usize::try_from(word(at + 24)?)?;
    let path = String::from_utf8(bytes.get(path_at..data_at).context("cut short")?.to_vec())?;
    let data = bytes.get(data_at..next).context("cut short")?;
    let event = match kind {
        1 => Event::Create,
        2 => Event::Write {
            offset: usize::try_from(offset)?,
            data: data.to_vec(),
        },
        3 => Event::Truncate(usize::try_from(offset)?),
        4 => Event::SyncBegins(offset, entries(std::str::from_utf8(data)?)?),
        5 => Event::Synced(offset),
        6 => Event::SyncFailed(offset),
        7 => Event::Rename(String::from_utf8(data.to_vec())?),
        8 => Event::Unlink,
        9 => Event::MakeDirectory,
        other => bail!("a record of kind {other}"),
    };
    let position = u64::try_from(next)?;
    Ok((
        Record {
            position,
            inode,
            path,
            event,
        },
        next,
    ))
}

/// The entries of a directory but for SQLite's shared memory, which no power cut leaves.
fn entries(list: &str) -> anyhow::Result<BTreeMap<String, u64>> {
    let entries = list.lines().map(|line| {
        let (inode, name) = line.split_once(' ').context("an entry without a name")?;
        Ok((name.to_owned(), inode.parse()?))
    });
    let mut entries: BTreeMap<_, _> = entries.collect::<anyhow::Result<_>>()?;
    entries.retain(|name, _| !is_shared_memory(name));
    Ok(entries)
}

fn is_shared_memory(name: &str) -> bool {
    name.ends_with("-shm")
}

/// A disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// By inode.
    files: BTreeMap<u64, File>,
    /// By path; the disk's own is empty.
    directories: BTreeMap<String, Directory>,
    /// Syncs under way: the number of the record with which each began, and a directory's entries.
    syncs: BTreeMap<u64, (usize, BTreeMap<String, u64>)>,
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
    durable: BTreeMap<String, u64>,
    pending: Vec<(usize, Vec<Entry>)>,
}

/// A name that leads somewhere, or nowhere any more.
type Entry = (String, Option<u64>);

impl Disk {
    fn apply(&mut self, number: usize, record: &Record, rng: &mut Rng) {
        let inode = record.inode;
        match &record.event {
            Event::Create => {
                self.files.insert(inode, File::default());
                self.rename(number, &[(&record.path, Some(inode))]);
            }
            Event::MakeDirectory => {
                self.directories
                    .insert(record.path.clone(), Directory::default());
                self.rename(number, &[(&record.path, Some(inode))]);
            }
            Event::Write { offset, data } => {
                let (offset, data) = (*offset, data.clone());
                let file = self.files.entry(inode).or_default();
                file.pending.push((number, Change::Write { offset, data }));
            }
            Event::Truncate(length) => {
                let file = self.files.entry(inode).or_default();
                file.pending.push((number, Change::Truncate(*length)));
            }
            Event::SyncBegins(sync, entries) => {
                self.syncs.insert(*sync, (number, entries.clone()));
            }
            Event::Synced(sync) => self.synced(*sync, record),
            Event::SyncFailed(sync) => {
                let begun = self.syncs.remove(sync).map_or(0, |(begun, _)| begun);
                if let Some(file) = self.files.get_mut(&inode) {
                    file.pending
                        .retain(|(number, _)| *number > begun || rng.bool());
                }
            }
            Event::Rename(to) => {
                let moved = self.inode_of(&record.path);
                self.rename(number, &[(&record.path, None), (to, moved)]);
            }
            Event::Unlink => self.rename(number, &[(&record.path, None)]),
        }
    }

    fn synced(&mut self, sync: u64, record: &Record) {
        let Some((begun, entries)) = self.syncs.remove(&sync) else {
            return;
        };
        if record.path.is_empty() || self.directories.contains_key(&record.path) {
            let directory = self.directories.entry(record.path.clone()).or_default();
            directory.durable = entries;
            directory.pending.retain(|(number, _)| *number > begun);
        } else if let Some(file) = self.files.get_mut(&record.inode) {
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

    fn inode_of(&self, path: &str) -> Option<u64> {
        let (parent, name) = split(path);
        let directory = self.directories.get(parent)?;
        let pending = directory
            .pending
            .iter()
            .rev()
            .flat_map(|(_, entries)| entries);
        let mut pending = pending.filter(|(changed, _)| changed == name);
        match pending.next() {
            Some((_, to)) => *to,
            None => directory.durable.get(name).copied(),
        }
    }

    /// Decides of what was not synced, for so many changes of one file or directory at a time.
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
                for (name, to) in entries {
                    match to {
                        Some(inode) => directory.durable.insert(name, inode),
                        None => directory.durable.remove(&name),
                    };
                }
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
        for (name, inode) in directory.into_iter().flat_map(|found| &found.durable) {
            let below = join(path, name);
            if self.directories.contains_key(&below) {
                tree.insert(below.clone(), None);
                self.list(&below, tree);
            } else {
                let file = self.files.get(inode);
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn write(position: u64, text: &str) -> Record {
        let data = text.into();
        of(position, Event::Write { offset: 0, data })
    }

    fn of(position: u64, event: Event) -> Record {
        Record {
            position,
            inode: 1,
            path: "a".to_owned(),
            event,
        }
    }

    fn directory_sync(position: u64, event: Event) -> Record {
        Record {
            position,
            inode: 9,
            path: String::new(),
            event,
        }
    }

    /// What the file holds after cuts at that position, over many seeds.
    fn outcomes(recording: &Recording, position: u64) -> BTreeSet<Option<Vec<u8>>> {
        let outcome = |seed| {
            let disk = recording.cut(position, &mut Rng::with_seed(seed));
            let inode = disk.directories.get("")?.durable.get("a")?;
            Some(disk.files[inode].durable.clone())
        };
        (0..200).map(outcome).collect()
    }

    #[test]
    fn what_was_synced_stays_and_what_was_not_may_go() {
        let named = BTreeMap::from([("a".to_owned(), 1)]);
        let recording = Recording {
            records: vec![
                of(1, Event::Create),
                write(2, "old"),
                of(3, Event::SyncBegins(1, BTreeMap::new())),
                write(4, "new"),
                of(5, Event::Synced(1)),
                directory_sync(6, Event::SyncBegins(2, named)),
                directory_sync(7, Event::Synced(2)),
            ],
        };
        let (old, new) = (Some(b"old".to_vec()), Some(b"new".to_vec()));
        assert_eq!(outcomes(&recording, 7), BTreeSet::from([old, new]));
        assert!(
            outcomes(&recording, 5).contains(&None),
            "its name was not synced"
        );
        assert!(outcomes(&recording, 1).contains(&Some(Vec::new())));
    }

    #[test]
    fn what_a_failed_sync_should_have_written_may_be_lost_though_a_later_one_succeeds() {
        let named = BTreeMap::from([("a".to_owned(), 1)]);
        let recording = Recording {
            records: vec![
                of(1, Event::Create),
                directory_sync(2, Event::SyncBegins(1, named)),
                directory_sync(3, Event::Synced(1)),
                write(4, "x"),
                of(5, Event::SyncBegins(2, BTreeMap::new())),
                of(6, Event::SyncFailed(2)),
                of(7, Event::SyncBegins(3, BTreeMap::new())),
                of(8, Event::Synced(3)),
            ],
        };
        let outcomes = outcomes(&recording, 8);
        assert_eq!(
            outcomes,
            BTreeSet::from([Some(Vec::new()), Some(b"x".to_vec())])
        );
    }

    #[test]
    fn a_record_that_lacks_what_the_server_did_is_refused() {
        let folder = std::env::temp_dir().join(format!("cavansite-crash-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("a"), "x").unwrap();
        std::fs::write(folder.join("a-shm"), "shared").unwrap();
        let mut records = vec![of(1, Event::Create), write(2, "x")];
        // What a failed sync left stands in the file.
        records.push(of(3, Event::SyncBegins(1, BTreeMap::new())));
        records.push(of(4, Event::SyncFailed(1)));
        let is_complete = |records| Recording { records }.check_complete(&folder).is_ok();
        let whole = is_complete(records);
        let lacks_the_write = is_complete(vec![of(1, Event::Create)]);
        let lacks_the_name = is_complete(Vec::new());
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(
            (whole, lacks_the_write, lacks_the_name),
            (true, false, false)
        );
    }

    #[test]
    fn a_write_may_be_torn_between_sectors_and_nowhere_else() {
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let mut file = vec![0; 1024];
            let data = vec![1; 600];
            let change = Change::Write { offset: 200, data };
            Fate::Torn.apply(0, &change, &mut file, &mut Rng::with_seed(seed));
            let (first, second) = (&file[200..512], &file[512..800]);
            assert!(first.iter().all(|byte| *byte == first[0]));
            assert!(second.iter().all(|byte| *byte == second[0]));
            seen.insert((first[0], second[0]));
        }
        assert_eq!(seen.len(), 4);
    }
}
