//! The record that the preloaded library writes, and the disks that come of it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use fastrand::Rng;

use super::{Disk, Fate, Tree, is_shared_memory, tree_of};

/// A record's kind, the length of its path, inode, offset and the length of its data.
const HEADER: usize = 4 + 4 + 8 + 8 + 8;

/// Something that the server did to its disk.
#[derive(Debug)]
pub(super) struct Record {
    /// The length of the record file with this record.
    pub(super) position: u64,
    pub(super) inode: u64,
    pub(super) path: String,
    pub(super) event: Event,
}

#[derive(Debug)]
pub(super) enum Event {
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
    pub(super) records: Vec<Record>,
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
        let mut disk = Disk::empty();
        let mut rng = Rng::with_seed(0);
        for (number, record) in self.records.iter().enumerate() {
            // What it should have written is in the files still.
            if matches!(record.event, Event::SyncFailed(_)) {
                continue;
            }
            disk.apply(number, record, &mut rng);
            // A sync would hide what was not recorded before it: it tells all names.
            if let Event::SyncBegins(sync, _) = record.event
                && let Some(directory) = disk.directories.get(&record.path)
                && let Some((_, names)) = disk.syncs.get(&sync)
                && *names != directory.present()
            {
                bail!(
                    "the record of {} does not tell of all names in {:?}",
                    folder.display(),
                    record.path
                );
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
        let mut disk = Disk::empty();
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
